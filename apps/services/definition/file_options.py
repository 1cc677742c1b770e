"""Options of sources and destinations of file connections."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any, Literal, Self

from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _
from pydantic import (
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from apps.services.definition.csv_options import CsvDialect, CsvSource, Names
from apps.services.definition.expression import Expression
from apps.services.definition.option_types import MAX_PAGE_SIZE, Flag, JMESPath, Options, Text, WholeNumber
from apps.services.definition.path_types import DestinationFile, MoveTarget, SourceFile

type Format = Literal["json", "ndjson", "csv", "xml", "xlsx"]
type OutputFormat = Literal["json", "ndjson", "csv"]
type Compression = Literal["auto", "none", "gzip", "zip", "zstd"]
_FORMAT_BY_SUFFIX: dict[str, Format] = {
    ".json": "json",
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
    ".csv": "csv",
    ".tsv": "csv",
    ".xml": "xml",
    ".xlsx": "xlsx",
    ".xlsm": "xlsx",
}
_FORMAT_OF_OPTION: dict[str, Format] = {"csv": "csv", "xml": "xml", "sheet": "xlsx", "header_row": "xlsx"}
COMPRESSION_BY_SUFFIX: dict[str, Literal["gzip", "zip", "zstd"]] = {
    ".gz": "gzip",
    ".gzip": "gzip",
    ".zip": "zip",
    ".zst": "zstd",
    ".zstd": "zstd",
}


class XmlSource(Options):
    """Which elements of an XML file are records."""

    record: Text = Field(
        title=_("Record element"), description=_("Name of the element of each record, such as order.")
    )
    lists: Names = Field(
        (),
        title=_("Lists"),
        description=_("Elements that are a list even if a record has only one, such as item."),
    )


class AfterRun(Options):
    """What happens to a file once a run that read it has succeeded."""

    move_to: MoveTarget = Field(
        "",
        title=_("Move files to"),
        description=_("Folder below the connection's folder, such as done/, for files that were read."),
    )
    delete: Flag = Field(
        False, title=_("Delete files"), description=_("Delete files once a run that read them has succeeded.")
    )

    @model_validator(mode="after")
    def _one_action(self) -> Self:
        if bool(self.move_to) == self.delete:
            raise ValueError(gettext("Write either “move_to” or “delete: true”."))
        return self


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
    csv: CsvSource = Field(
        default_factory=lambda: CsvSource.model_validate({}), title="CSV", description=_("Form of CSV files.")
    )
    xml: XmlSource | None = Field(
        None, validate_default=True, title="XML", description=_("Records in XML files.")
    )
    sheet: Text = Field(
        "",
        title=_("Sheet"),
        description=_("Name of the sheet in Excel files. Empty: the first one."),
    )
    header_row: WholeNumber = Field(
        1,
        ge=1,
        le=10**6,
        title=_("Header row"),
        description=_("Row of an Excel sheet with the names of the columns."),
    )
    compression: Compression = Field(
        "auto",
        title=_("Compression"),
        description=_("auto: by the suffix .gz, .zip or .zst. Each file in a zip archive is read."),
    )
    page_size: WholeNumber = Field(
        1000, ge=1, le=MAX_PAGE_SIZE, title=_("Page size"), description=_("Records in a page.")
    )
    only_new: Flag = Field(
        False,
        title=_("New files only"),
        description=_(
            "Leave out files that an earlier successful run has read, by name, size and time, or by the ETag."
        ),
    )
    min_age_seconds: WholeNumber = Field(
        0,
        ge=0,
        le=10**7,
        title=_("Minimum age (s)"),
        description=_("Leave out files that were changed less than this ago and may still be written."),
    )
    after: AfterRun | None = Field(
        None,
        title=_("After the run"),
        description=_("Move or delete files once a run that read them has succeeded."),
    )

    @model_validator(mode="before")
    @classmethod
    def _format_of_suffix(cls, data: Any) -> Any:
        return _with_format(data)

    @field_validator("records")
    @classmethod
    def _only_in_json(cls, value: Expression, info: ValidationInfo) -> Expression:
        if info.data.get("format", "json") != "json" and value.text != "@":
            raise ValueError(gettext("Only JSON files have a path to their records; remove this option."))
        return value

    @field_validator("csv", "xml", "sheet", "header_row", mode="before")
    @classmethod
    def _only_in_its_format(cls, value: Any, info: ValidationInfo) -> Any:
        return _checked_format(value, info)

    @field_validator("after")
    @classmethod
    def _into_another_folder(cls, value: AfterRun | None, info: ValidationInfo) -> AfterRun | None:
        if value and value.move_to and value.move_to == str(info.data.get("path", "")).rpartition("/")[0]:
            raise ValueError(gettext("The files are read from this folder; write another one."))
        return value


class FileDestination(Options):
    """Destination of a file connection."""

    path: DestinationFile = Field(
        title=_("Path"),
        description=_(
            "File below the connection's folder, such as out/{run}-{page}.ndjson, with {run} and {page}."
        ),
    )
    format: OutputFormat = Field(
        title=_("Format"), description=_("Format of the file. Default: the suffix of the path.")
    )
    csv: CsvDialect = Field(
        default_factory=lambda: CsvDialect.model_validate({}),
        title="CSV",
        description=_("Form of CSV files."),
    )
    compression: Compression = Field(
        "auto",
        title=_("Compression"),
        description=_("auto: by the suffix .gz, .zip or .zst."),
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

    @field_validator("csv", mode="before")
    @classmethod
    def _only_in_its_format(cls, value: Any, info: ValidationInfo) -> Any:
        return _checked_format(value, info)


def _with_format(data: Any) -> Any:
    """`data` with the format of the path's suffix, unless it names one."""
    if not isinstance(data, Mapping) or data.get("format") or not isinstance(data.get("path"), str):
        return data
    path = PurePosixPath(data["path"])
    if path.suffix.lower() in COMPRESSION_BY_SUFFIX:
        path = path.with_suffix("")
    by_suffix = _FORMAT_BY_SUFFIX.get(path.suffix.lower())
    return data if by_suffix is None else {**data, "format": by_suffix}


def _checked_format(value: Any, info: ValidationInfo) -> Any:
    """Refuses an option of another format; the element of a record in XML is required."""
    wanted = _FORMAT_OF_OPTION[str(info.field_name)]
    if "format" in info.data and info.data["format"] != wanted and value is not None:
        raise ValueError(
            gettext("Only the format %(format)s has this option; remove it.") % {"format": wanted}
        )
    return {} if wanted == "xml" and info.data.get("format") == "xml" and value is None else value
