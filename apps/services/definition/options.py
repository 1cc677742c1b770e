"""The options of sources, destinations and runs: read from JSON, YAML or a form, and validated exactly.

Every error is a ValidationError by key ("page_size", "pagination.type") that says why and what to write.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from apps.services.definition.option_values import Expression, OptionValues
from apps.services.models import Connection, Service

MAX_PAGE_SIZE = 100_000
FORMATS = ("json", "ndjson", "csv")
METHODS = ("POST", "PUT", "PATCH")
_FORMAT_OF_SUFFIX = {".json": "json", ".ndjson": "ndjson", ".jsonl": "ndjson", ".csv": "csv"}
_PLACEHOLDER = re.compile(r"\{[^{}]*\}?|\}")


@dataclass(frozen=True)
class SinglePage:
    """One request fetches everything."""


@dataclass(frozen=True)
class PageNumbers:
    """`?page=1`, `?page=2` … up to a page that is empty or short."""

    page_param: str
    # Empty: the size is not sent, and only an empty page is the end.
    size_param: str
    first: int


@dataclass(frozen=True)
class Offsets:
    """`?offset=0`, `?offset=100` … up to a page that is empty or short."""

    offset_param: str
    size_param: str


@dataclass(frozen=True)
class Cursors:
    """Each answer holds the cursor of the next page; none, or an empty one, is the end."""

    cursor: Expression
    param: str
    size_param: str


@dataclass(frozen=True)
class Links:
    """Each answer's Link header names the next page as rel=next."""

    size_param: str


type Pagination = SinglePage | PageNumbers | Offsets | Cursors | Links

# The keys beside `type` that each kind of pagination knows.
PAGINATION_KEYS = {
    "none": (),
    "page": ("page_param", "size_param", "first"),
    "offset": ("offset_param", "size_param"),
    "cursor": ("cursor", "param", "size_param"),
    "link": ("size_param",),
}


@dataclass(frozen=True)
class HttpSource:
    path: str
    # Finds the list of records in an answer.
    records: Expression
    id_field: str
    page_size: int
    params: Mapping[str, str]
    headers: Mapping[str, str]
    pagination: Pagination


@dataclass(frozen=True)
class HttpDestination:
    path: str
    method: str
    # 1 = the record itself is the body; more = a JSON array.
    batch_size: int
    params: Mapping[str, str]
    headers: Mapping[str, str]


@dataclass(frozen=True)
class FileSource:
    # May hold the wildcards *, ?, [] and **.
    path: str
    format: str
    records: Expression
    id_field: str
    page_size: int


@dataclass(frozen=True)
class FileDestination:
    # May hold {run} and {page}.
    path: str
    format: str


SOURCE_KEYS = {
    Connection.Kind.HTTP: ("path", "records", "id_field", "page_size", "params", "headers", "pagination"),
    Connection.Kind.FILE: ("path", "format", "records", "id_field", "page_size"),
}
DESTINATION_KEYS = {
    Connection.Kind.HTTP: ("path", "method", "batch_size", "params", "headers"),
    Connection.Kind.FILE: ("path", "format"),
}


def source_from(kind: str, data: Mapping[str, object], *, auth_header: str = "") -> HttpSource | FileSource:
    """The source options in `data`. `auth_header` is the connection's own header, which they may not set.

    Raises ValidationError by key.
    """
    if kind == Connection.Kind.HTTP:
        return _http_source(OptionValues(data, SOURCE_KEYS[Connection.Kind.HTTP]), auth_header)
    if kind == Connection.Kind.FILE:
        return _file_source(OptionValues(data, SOURCE_KEYS[Connection.Kind.FILE]))
    raise _unknown_kind(kind)


def destination_from(
    kind: str, data: Mapping[str, object], *, auth_header: str = ""
) -> HttpDestination | FileDestination:
    """The destination options in `data`; see `source_from`. Raises ValidationError by key."""
    if kind == Connection.Kind.HTTP:
        return _http_destination(OptionValues(data, DESTINATION_KEYS[Connection.Kind.HTTP]), auth_header)
    if kind == Connection.Kind.FILE:
        return _file_destination(OptionValues(data, DESTINATION_KEYS[Connection.Kind.FILE]))
    raise _unknown_kind(kind)


def run_options_from(service: Service, data: Mapping[str, object]) -> dict[str, Any]:
    """What one run of `service` does otherwise: `page_size`, `max_attempts`, `record_id`, each only if given.

    Values may be texts, as the command line hands them in. Raises ValidationError by key.
    """
    values = OptionValues(data, ("page_size", "max_attempts", "record_id"))
    options: dict[str, Any] = {
        "page_size": values.whole("page_size", 0, least=1, most=MAX_PAGE_SIZE),
        "max_attempts": values.whole("max_attempts", 0, least=1, most=20),
        "record_id": _record_id(values, data.get("record_id")),
    }
    values.raise_errors()
    return {key: value for key, value in options.items() if value}


def _record_id(values: OptionValues, given: object) -> str:
    if isinstance(given, int) and not isinstance(given, bool):
        return str(given)
    return values.text("record_id").strip()


def _http_source(values: OptionValues, auth_header: str) -> HttpSource:
    source = HttpSource(
        path=_http_path(values),
        records=values.expression("records", "@"),
        id_field=values.text("id_field", "id"),
        page_size=values.whole("page_size", 100, least=1, most=MAX_PAGE_SIZE),
        params=values.parameters("params"),
        headers=values.headers("headers", auth_header=auth_header),
        pagination=_pagination(values),
    )
    values.raise_errors()
    return source


def _pagination(values: OptionValues) -> Pagination:
    data = values.mapping("pagination")
    every_key = {"type", *(key for keys in PAGINATION_KEYS.values() for key in keys)}
    of_type = PAGINATION_KEYS.get(str(data.get("type", "none")))
    known = every_key if of_type is None else {"type", *of_type}
    own = OptionValues(data, known, heading="pagination.")
    pagination = _pagination_of_type(own, own.choice("type", tuple(PAGINATION_KEYS), "none"))
    values.errors.update(own.errors)
    return pagination


def _pagination_of_type(values: OptionValues, kind: str) -> Pagination:
    if kind == "page":
        return PageNumbers(
            page_param=values.text("page_param", "page"),
            size_param=values.text("size_param"),
            first=values.whole("first", 1, least=0, most=10**9),
        )
    if kind == "offset":
        return Offsets(values.text("offset_param", "offset"), values.text("size_param", "limit"))
    if kind == "cursor":
        return Cursors(
            cursor=values.expression("cursor", required=True),
            param=values.text("param", "cursor"),
            size_param=values.text("size_param"),
        )
    if kind == "link":
        return Links(values.text("size_param"))
    return SinglePage()


def _http_destination(values: OptionValues, auth_header: str) -> HttpDestination:
    destination = HttpDestination(
        path=_http_path(values),
        method=values.choice("method", METHODS, "POST"),
        batch_size=values.whole("batch_size", 100, least=1, most=MAX_PAGE_SIZE),
        params=values.parameters("params"),
        headers=values.headers("headers", auth_header=auth_header),
    )
    values.raise_errors()
    return destination


def _http_path(values: OptionValues) -> str:
    path = values.path("path")
    if "#" in path or " " in path:
        values.refuse("path", _("A path holds neither # nor spaces; write %23 and %20."))
    return path


def _file_path(values: OptionValues) -> str:
    path = values.path("path", required=True)
    if path.startswith(("/", "~")):
        values.refuse("path", _("Write the path below the connection's folder, without a leading / or ~."))
    return path


def _file_source(values: OptionValues) -> FileSource:
    path = _file_path(values)
    source = FileSource(
        path=path,
        format=_format(values, path),
        records=values.expression("records", "@"),
        id_field=values.text("id_field", "id"),
        page_size=values.whole("page_size", 1000, least=1, most=MAX_PAGE_SIZE),
    )
    if source.format != "json" and source.records.text != "@":
        values.refuse("records", _("This is for JSON; a line of NDJSON or CSV is a record. Leave it out."))
    values.raise_errors()
    return source


def _file_destination(values: OptionValues) -> FileDestination:
    path = _file_path(values)
    for placeholder in _PLACEHOLDER.findall(path):
        if placeholder not in {"{run}", "{page}"}:
            values.refuse(
                "path",
                _("“%(placeholder)s” is not known; use {run} and {page}.") % {"placeholder": placeholder},
            )
    if any(character in path for character in "*?["):
        values.refuse("path", _("A file to be written is named without *, ? and [."))
    if path.endswith("/"):
        values.refuse("path", _("This names a folder; end it in a file name such as {run}.json."))
    destination = FileDestination(path, _format(values, path))
    values.raise_errors()
    return destination


def _format(values: OptionValues, path: str) -> str:
    """The named format, or else the one that the file's suffix tells."""
    told = _FORMAT_OF_SUFFIX.get(PurePosixPath(path).suffix.lower(), "")
    # A path that was refused has no suffix to tell by; one error is enough.
    return values.choice("format", FORMATS, told or ("" if path else FORMATS[0]))


def _unknown_kind(kind: str) -> ValidationError:
    return ValidationError(
        {
            "connection": [
                _("“%(kind)s” is no kind of connection; known are %(known)s.")
                % {"kind": kind, "known": ", ".join(Connection.Kind.values)}
            ]
        }
    )
