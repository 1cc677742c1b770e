"""Text of a preview: indented JSON, CSV as a table, everything else unchanged."""

from __future__ import annotations

import codecs
import csv
import io
import json
import re
from dataclasses import dataclass, field

from django.utils.translation import gettext as _

from apps.services.connectors.formats.documents import charset_of

# Bytes that are read.
MAX_BYTES = 256 * 1024
# Characters that are shown, so that the browser stays fast.
_MAX_ROWS = 1000
_MAX_COLUMNS = 60
_MAX_INDENT = 24
_HEX_BYTES = 512

# A string, perhaps cut off; a bracket or sign; a number or word; white space is dropped.
_JSON_TOKENS = re.compile(r'"(?:[^"\\]|\\.)*"?|[\[\]{},:]|[^\s\[\]{},:"]+', re.DOTALL)


@dataclass
class Preview:
    """Content of a preview, and a note about it."""

    # "text", "table", "hex" or "empty".
    shape: str
    text: str = ""
    head: list[str] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def make_preview(data: bytes, *, content_type: str, name: str, is_whole: bool, key: str = "") -> Preview:
    """Preview of a file that begins with `data`; every content has a readable form. A table shows the row that
    contains `key`.
    """
    if not data:
        return Preview("empty")
    text = _decoded(data, charset_of(content_type), is_whole=is_whole)
    if text is None:
        return Preview("hex", _hex(data[:_HEX_BYTES]), notes=[_binary_words(data)])
    kind = _kind(content_type, name, text)
    if kind == "ndjson":
        return _ndjson(text)
    if kind == "json":
        return _json(text, is_whole=is_whole)
    if kind == "csv":
        return _table(text, key)
    return Preview("text", text)


def _kind(content_type: str, name: str, text: str) -> str:
    known, ending = content_type.lower(), name.lower().rpartition(".")[2]
    if "ndjson" in known or "jsonl" in known or ending in {"ndjson", "jsonl"}:
        return "ndjson"
    if "json" in known or ending == "json":
        return "json"
    if "csv" in known or "tab-separated" in known or ending in {"csv", "tsv"}:
        return "csv"
    return "json" if text.lstrip()[:1] in {"{", "["} else "text"


def _decoded(data: bytes, charset: str, *, is_whole: bool) -> str | None:
    """The text without an incomplete last character; None if it is not text."""
    encoding = "utf-8-sig" if charset.lower() in {"", "utf-8"} else charset
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encoding = "utf-16"
    elif b"\x00" in data:
        return None
    try:
        # Raises LookupError for codecs other than charsets, such as hex.
        " ".encode(encoding)
        return codecs.getincrementaldecoder(encoding)().decode(data, final=is_whole)
    except (UnicodeDecodeError, LookupError):
        return None


def _json(text: str, *, is_whole: bool) -> Preview:
    notes = []
    if is_whole:
        try:
            json.loads(text)
        except ValueError as error:
            return Preview("text", text, notes=[_invalid_json_text(error)])
        except RecursionError:
            notes.append(_("Nested too deeply to be checked."))
    # By tokens instead of parsing: numbers, keys and order stay as sent, and an incomplete document works too.
    return Preview("text", indented(text), notes=notes)


def _ndjson(text: str) -> Preview:
    notes = []
    for number, line in enumerate(text.splitlines()[:-1], 1):
        try:
            if line.strip():
                json.loads(line)
        except (ValueError, RecursionError):
            notes.append(_("Line %(line)s is not valid JSON.") % {"line": number})
            break
    return Preview("text", "\n".join(indented(line) for line in text.splitlines()), notes=notes)


def indented(text: str) -> str:
    """JSON, or the beginning of it, with one line per member."""
    out: list[str] = []
    depth, before = 0, ""
    for sign in _JSON_TOKENS.findall(text):
        if sign in {"]", "}"}:
            depth = max(depth - 1, 0)
            if before not in {"[", "{"}:
                out.append(_new_line(depth))
        elif before in {"[", "{", ","}:
            out.append(_new_line(depth))
        elif before and before not in {":"} and sign not in {",", ":"}:
            out.append(" ")
        out.append(": " if sign == ":" else sign)
        if sign in {"[", "{"}:
            depth += 1
        before = sign
    return "".join(out)


def _new_line(depth: int) -> str:
    # Limited, because a file of opening brackets alone would become a page of spaces.
    return "\n" + "  " * min(depth, _MAX_INDENT)


def _table(text: str, key: str) -> Preview:
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text)))
    except csv.Error as error:
        note = _("Invalid CSV: %(reason)s. It is shown unchanged.") % {"reason": error}
        return Preview("text", text, notes=[note])
    notes = []
    if len(rows) > _MAX_ROWS + 1 or any(len(row) > _MAX_COLUMNS for row in rows):
        notes.append(
            _("At most %(rows)s rows and %(columns)s columns are shown.")
            % {"rows": _MAX_ROWS, "columns": _MAX_COLUMNS}
        )
    shown = [row[:_MAX_COLUMNS] for row in rows if row]
    if not shown:
        return Preview("text", text)
    place = next((index for index, row in enumerate(shown) if key in row), 0) if key else 0
    first = max(1, place - _MAX_ROWS // 2)
    return Preview("table", head=shown[0], rows=shown[first : first + _MAX_ROWS], notes=notes)


def _delimiter(text: str) -> str:
    """The separator that yields most columns in the first line."""
    first = text.partition("\n")[0]
    return max(",;\t|", key=first.count)


def _hex(data: bytes) -> str:
    lines = []
    for start in range(0, len(data), 16):
        part = data[start : start + 16]
        signs = "".join(chr(byte) if 32 <= byte < 127 else "·" for byte in part)
        lines.append(f"{start:06x}  {part.hex(' '):<47}  {signs}")
    return "\n".join(lines)


def _binary_words(data: bytes) -> str:
    size = min(len(data), _HEX_BYTES)
    return _("Not UTF-8 text; its first %(count)s bytes are shown in hexadecimal.") % {"count": size}


def _invalid_json_text(error: ValueError) -> str:
    if isinstance(error, json.JSONDecodeError):
        return _("Invalid JSON: %(reason)s, line %(line)s, column %(column)s. It is shown unchanged.") % {
            "reason": error.msg,
            "line": error.lineno,
            "column": error.colno,
        }
    return _("Invalid JSON: %(reason)s. It is shown unchanged.") % {"reason": error}
