"""Options of sources, destinations and runs. Each option is defined here, once.

The settings form, the JSON Schema, the reference in the handbook and the validation follow from these models.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any, Literal

from django.core.exceptions import ValidationError
from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _
from pydantic import Field, ValidationInfo, field_validator, model_validator

from apps.services.definition.option_errors import read_options
from apps.services.definition.option_types import (
    DestinationFile,
    Expression,
    Flag,
    Headers,
    HttpPath,
    JMESPath,
    Options,
    Parameters,
    RecordPath,
    SourceFile,
    Text,
    WholeNumber,
)
from apps.services.models import Connection

MAX_PAGE_SIZE = 100_000
type Format = Literal["json", "ndjson", "csv"]
_FORMAT_BY_SUFFIX: dict[str, Format] = {
    ".json": "json",
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
    ".csv": "csv",
}


class SinglePage(Options):
    """One request fetches everything."""

    type: Literal["none"] = "none"


class PageNumbers(Options):
    """`?page=1`, `?page=2` … up to an empty or short page."""

    type: Literal["page"] = "page"
    page_param: Text = Field(
        "page", title=_("Page parameter"), description=_("Parameter with the page number.")
    )
    size_param: Text = Field(
        "",
        title=_("Size parameter"),
        description=_("Parameter with the page size. Empty: the size is not sent."),
    )
    first: WholeNumber = Field(
        1, ge=0, le=10**9, title=_("First page"), description=_("Number of the first page.")
    )


class Offsets(Options):
    """`?offset=0`, `?offset=100` … up to an empty or short page."""

    type: Literal["offset"] = "offset"
    offset_param: Text = Field(
        "offset", title=_("Offset parameter"), description=_("Parameter with the offset.")
    )
    size_param: Text = Field(
        "limit",
        title=_("Size parameter"),
        description=_("Parameter with the page size. Empty: the size is not sent."),
    )


class Cursors(Options):
    """Each response contains the cursor of the next page; a missing or empty one ends the pull."""

    type: Literal["cursor"] = "cursor"
    cursor: JMESPath = Field(
        title=_("Cursor"), description=_("JMESPath to the cursor of the next page, such as meta.next.")
    )
    param: Text = Field("cursor", title=_("Cursor parameter"), description=_("Parameter with the cursor."))
    size_param: Text = Field(
        "",
        title=_("Size parameter"),
        description=_("Parameter with the page size. Empty: the size is not sent."),
    )


class Links(Options):
    """The Link header of each response names the next page as rel=next."""

    type: Literal["link"] = "link"
    size_param: Text = Field(
        "",
        title=_("Size parameter"),
        description=_("Parameter with the page size. Empty: the size is not sent."),
    )


type Pagination = SinglePage | PageNumbers | Offsets | Cursors | Links


class HttpSource(Options):
    """Source of an HTTP connection."""

    path: HttpPath = Field(
        "", title=_("Path"), description=_("Path below the connection's address, such as /orders.")
    )
    records: JMESPath = Field(
        "@",
        validate_default=True,
        title=_("Records"),
        description=_("JMESPath to the list of records, such as data.items. @ is the response itself."),
    )
    id_field: JMESPath = Field(
        "id",
        validate_default=True,
        title=_("Key"),
        description=_("JMESPath to the key of a record, such as id or order.number."),
    )
    page_size: WholeNumber = Field(
        100, ge=1, le=MAX_PAGE_SIZE, title=_("Page size"), description=_("Records in a page.")
    )
    params: Parameters = Field({}, title=_("Parameters"), description=_("Query parameters of each request."))
    headers: Headers = Field({}, title=_("Headers"), description=_("Headers of each request."))
    pagination: Pagination = Field(
        SinglePage(),
        discriminator="type",
        title=_("Pagination"),
        description=_("How to request the next page."),
    )
    record_path: RecordPath = Field(
        "",
        title=_("Path of one record"),
        description=_("Path such as /orders/{key}, to pull single records again. Empty: all are pulled."),
    )

    @field_validator("pagination", mode="before")
    @classmethod
    def _default_type(cls, value: Any) -> Any:
        return {"type": "none", **value} if isinstance(value, Mapping) else value


class FileSource(Options):
    """Source of a file connection."""

    path: SourceFile = Field(
        title=_("Path"),
        description=_("Files below the connection's folder, such as in/*.json, with *, ?, [] and **."),
    )
    format: Format = Field(
        title=_("Format"), description=_("Format of the files. Default: the suffix of the path.")
    )
    records: JMESPath = Field(
        "@",
        validate_default=True,
        title=_("Records"),
        description=_("JMESPath to the list of records in a JSON file."),
    )
    id_field: JMESPath = Field(
        "id",
        validate_default=True,
        title=_("Key"),
        description=_("JMESPath to the key of a record, such as id or order.number."),
    )
    page_size: WholeNumber = Field(
        1000, ge=1, le=MAX_PAGE_SIZE, title=_("Page size"), description=_("Records in a page.")
    )

    @model_validator(mode="before")
    @classmethod
    def _format_of_suffix(cls, data: Any) -> Any:
        return _with_format(data)

    @field_validator("records")
    @classmethod
    def _only_in_json(cls, value: Expression, info: ValidationInfo) -> Expression:
        if info.data.get("format", "json") != "json" and value.text != "@":
            raise ValueError(gettext("Each line of NDJSON and CSV is a record; remove this option."))
        return value


class HttpDestination(Options):
    """Destination of an HTTP connection."""

    path: HttpPath = Field(
        "", title=_("Path"), description=_("Path below the connection's address, such as /stock.")
    )
    method: Literal["POST", "PUT", "PATCH"] = Field(
        "POST", title=_("Method"), description=_("Method of each request.")
    )
    batch_size: WholeNumber = Field(
        100,
        ge=1,
        le=MAX_PAGE_SIZE,
        title=_("Batch size"),
        description=_("Records in a request. 1 sends a single record, more send a list."),
    )
    id_field: JMESPath | None = Field(
        None,
        title=_("Key"),
        description=_("JMESPath to the key of a pushed record. Empty: as in the source."),
    )
    skip_unchanged: Flag = Field(
        False,
        title=_("Skip unchanged records"),
        description=_("Do not push a record again unless it differs from what was last accepted."),
    )
    params: Parameters = Field({}, title=_("Parameters"), description=_("Query parameters of each request."))
    headers: Headers = Field({}, title=_("Headers"), description=_("Headers of each request."))


class FileDestination(Options):
    """Destination of a file connection."""

    path: DestinationFile = Field(
        title=_("Path"),
        description=_(
            "File below the connection's folder, such as out/{run}-{page}.ndjson, with {run} and {page}."
        ),
    )
    format: Format = Field(
        title=_("Format"), description=_("Format of the file. Default: the suffix of the path.")
    )
    id_field: JMESPath | None = Field(
        None,
        title=_("Key"),
        description=_("JMESPath to the key of a pushed record. Empty: as in the source."),
    )

    @model_validator(mode="before")
    @classmethod
    def _format_of_suffix(cls, data: Any) -> Any:
        return _with_format(data)


class RunOptions(Options):
    """Options of a single run; what is left out is as the service has it."""

    page_size: WholeNumber | None = Field(None, ge=1, le=MAX_PAGE_SIZE, title=_("Page size"))
    max_attempts: WholeNumber | None = Field(None, ge=1, le=20, title=_("Maximum attempts"))
    record_id: Text | None = Field(None, title=_("Only the record with this id"))

    @field_validator("record_id", mode="before")
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


def _with_format(data: Any) -> Any:
    """`data` with the format of the path's suffix, unless it names one."""
    if not isinstance(data, Mapping) or data.get("format") or not isinstance(data.get("path"), str):
        return data
    by_suffix = _FORMAT_BY_SUFFIX.get(PurePosixPath(data["path"]).suffix.lower())
    return data if by_suffix is None else {**data, "format": by_suffix}
