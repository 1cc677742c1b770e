"""Options of sources and destinations of file connections."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any, Literal

from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _
from pydantic import Field, ValidationInfo, field_validator, model_validator

from apps.services.definition.option_types import (
    MAX_PAGE_SIZE,
    DestinationFile,
    Expression,
    JMESPath,
    Options,
    SourceFile,
    WholeNumber,
)

type Format = Literal["json", "ndjson", "csv"]
_FORMAT_BY_SUFFIX: dict[str, Format] = {
    ".json": "json",
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
    ".csv": "csv",
}


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


def _with_format(data: Any) -> Any:
    """`data` with the format of the path's suffix, unless it names one."""
    if not isinstance(data, Mapping) or data.get("format") or not isinstance(data.get("path"), str):
        return data
    by_suffix = _FORMAT_BY_SUFFIX.get(PurePosixPath(data["path"]).suffix.lower())
    return data if by_suffix is None else {**data, "format": by_suffix}
