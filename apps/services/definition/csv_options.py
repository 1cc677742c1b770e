"""Options of CSV files."""

from __future__ import annotations

import codecs
from typing import Annotated, Any

from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _
from pydantic import AfterValidator, BeforeValidator, Field, StrictStr

from apps.services.definition.option_types import Options, Text, WholeNumber


def _check_delimiter(value: str) -> str:
    if value in ("auto", "tab", "\t", "\\t"):
        return "auto" if value == "auto" else "\t"
    if len(value) != 1 or not value.isprintable() or value.isalnum() or value in "\"'":
        raise ValueError(
            gettext("“%(value)s” is not a delimiter; write one character, tab or auto.") % {"value": value}
        )
    return value


def _check_encoding(value: str) -> str:
    if value == "auto":
        return value
    try:
        # Fails for encodings that are not for text, such as base64, or that cannot be read in blocks.
        is_for_text = "a,b\n".encode(value).decode(value) == "a,b\n"
        codecs.getincrementaldecoder(value)
    except (LookupError, UnicodeError, TypeError):
        is_for_text = False
    if not is_for_text:
        raise ValueError(
            gettext("Unknown encoding “%(value)s”; write one such as cp1252, latin-1 or utf-16.")
            % {"value": value}
        )
    return value


def _split_names(value: Any) -> Any:
    """Names as a list; forms give them as text with commas."""
    return [name.strip() for name in value.split(",") if name.strip()] if isinstance(value, str) else value


def _check_names(value: tuple[str, ...]) -> tuple[str, ...]:
    if not all(name.strip() for name in value) or len(set(value)) < len(value):
        raise ValueError(gettext("Every name must be set and unique."))
    return value


type Delimiter = Annotated[StrictStr, AfterValidator(_check_delimiter)]
type Encoding = Annotated[Text, AfterValidator(_check_encoding)]
type Names = Annotated[
    tuple[Text, ...],
    BeforeValidator(_split_names, json_schema_input_type=list[str] | str),
    AfterValidator(_check_names),
]


class CsvDialect(Options):
    """How the rows of a CSV file are written."""

    delimiter: Delimiter = Field(
        "auto",
        title=_("Delimiter"),
        description=_(
            "Character between columns, or tab. auto: comma, semicolon, tab or pipe, as in the header; a comma in "
            "files to write, a tab in .tsv."
        ),
    )
    encoding: Encoding = Field(
        "auto",
        title=_("Encoding"),
        description=_("Such as cp1252. auto: by the byte order mark, otherwise UTF-8."),
    )
    names: Names = Field(
        (),
        title=_("Names of the columns"),
        description=_(
            "Names of the columns of a file without header, such as id, sku. Empty: there is a header."
        ),
    )


class CsvSource(CsvDialect):
    """How the rows of a CSV file are read."""

    skip_rows: WholeNumber = Field(
        0, ge=0, le=10**6, title=_("Rows to skip"), description=_("Lines before the header.")
    )
