"""Options of sources, destinations and runs. Each option is defined once: here, or by the kind of connection.

The forms, the JSON Schema, the reference in the handbook and the validation follow from these models.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.core.exceptions import ValidationError
from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _
from pydantic import Field, field_validator

from apps.services.definition.file_options import FileDestination, FileSource
from apps.services.definition.http_options import HttpDestination, HttpSource
from apps.services.definition.option_errors import read_options
from apps.services.definition.option_types import MAX_PAGE_SIZE, Options, Text, WholeNumber
from apps.services.definition.since import SinceText
from apps.services.models import Connection


class RunOptions(Options):
    """Options of a single run; what is left out is as the service has it."""

    page_size: WholeNumber | None = Field(
        None,
        ge=1,
        le=MAX_PAGE_SIZE,
        title=_("Page size"),
        description=_("Records in a page of the source."),
    )
    max_attempts: WholeNumber | None = Field(
        None,
        ge=1,
        le=20,
        title=_("Maximum attempts"),
        description=_("Attempts for one request, including the first."),
    )
    record_id: Text | None = Field(
        None,
        title=_("Only the record with this id"),
        description=_("Pulls all pages and continues with this record. Empty: all records."),
    )
    since: SinceText | None = Field(
        None, title=_("Since"), description=_("Value of {since}: pull what changed since then.")
    )

    @field_validator("record_id", mode="before", json_schema_input_type=Text | int | None)
    @classmethod
    def _as_text(cls, value: Any) -> Any:
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        return value.strip() or None if isinstance(value, str) else value


SOURCES: dict[str, type[HttpSource | FileSource]] = {"http": HttpSource, "file": FileSource}
DESTINATIONS: dict[str, type[HttpDestination | FileDestination]] = {
    "http": HttpDestination,
    "file": FileDestination,
}


def read_source(kind: str, data: object, *, auth_header: str = "") -> HttpSource | FileSource:
    """The source options in `data` for a connection of `kind`. Raises ValidationError by key.

    `auth_header` is the custom header of the connection, which the options must not set.
    """
    return read_options(_model(SOURCES, kind), data, auth_header=auth_header)


def read_destination(kind: str, data: object, *, auth_header: str = "") -> HttpDestination | FileDestination:
    """The destination options in `data`; see `read_source`."""
    return read_options(_model(DESTINATIONS, kind), data, auth_header=auth_header)


def read_run_options(data: object) -> dict[str, Any]:
    """The options of a single run that are set. Values may be texts. Raises ValidationError by key."""
    return read_options(RunOptions, data).model_dump(exclude_none=True)


def _model[Model](models: Mapping[str, Model], kind: str) -> Model:
    if kind not in models:
        message = gettext("Unknown kind of connection “%(kind)s”. Allowed: %(names)s.")
        names = ", ".join(Connection.Kind.values)
        raise ValidationError({"connection": [message % {"kind": kind, "names": names}]})
    return models[kind]
