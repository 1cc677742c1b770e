"""Place of a record in a file: finds its key, and reads the part of the file around it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import IO

from apps.console.ui.preview_text import MAX_BYTES, Preview
from apps.runs.records.keys import MAX_LENGTH

# Bytes that are searched for the record.
MAX_SEARCHED = 64 * 1024 * 1024
# Bytes that are shown before a record that lies beyond the beginning.
_BEFORE = 64 * 1024
# Characters after the beginning of a long key: see key_text().
_DIGEST = 33
# Control characters of the file, by the visible symbols of the key.
_CONTROL_CHARACTERS = {0x2400 + code: code for code in range(0x20)} | {ord("␡"): 0x7F}


@dataclass(frozen=True)
class Part:
    """Bytes of a file from `offset`; `is_whole` if they are the whole file."""

    data: bytes
    offset: int
    is_whole: bool


class RecordPattern:
    """Finds a record by its key: as the value of its id field, otherwise as a word."""

    def __init__(self, key: str, id_fields: Iterable[str]) -> None:
        self.key = key
        is_shortened = len(key) == MAX_LENGTH and key[-_DIGEST] == "…"
        known = key[:-_DIGEST] if is_shortened else key
        forms = {
            form
            for text in (known, known.translate(_CONTROL_CHARACTERS))
            for form in (text, json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1])
        }
        text = f"(?:{'|'.join(map(re.escape, sorted(forms)))})"
        end = "" if is_shortened else r"(?![\w-]|\.\d)"
        names = "|".join(re.escape(json.dumps(name)) for name in id_fields)
        self._patterns = [rf"(?<![\w.-]){text}{end}"]
        if names:
            # The name is looked for first: a number may be in other fields as well.
            self._patterns.insert(0, rf'(?:{names})\s*:\s*"?{text}{end}')

    def place_in(self, text: str) -> tuple[int, int] | None:
        """Start and end of the first match."""
        matches = (re.search(pattern, text) for pattern in self._patterns)
        return next((match.span() for match in matches if match), None)

    def place_in_bytes(self, data: bytes) -> int | None:
        matches = (re.search(pattern.encode(), data) for pattern in self._patterns)
        return next((match.start() for match in matches if match), None)


def read_part(stream: IO[bytes], pattern: RecordPattern | None = None) -> Part:
    """The beginning of a file, or the part around a record that lies further on."""
    data = _read(stream, MAX_BYTES + 1)
    beginning = Part(data[:MAX_BYTES], 0, len(data) <= MAX_BYTES)
    if pattern is None or beginning.is_whole or pattern.place_in_bytes(beginning.data) is not None:
        return beginning
    offset = 0
    while offset < MAX_SEARCHED and (more := _read(stream, MAX_BYTES)):
        # The last bytes again: the key may lie on both sides of the border.
        overlap = data[-_BEFORE:]
        offset += len(data) - len(overlap)
        data = overlap + more
        place = pattern.place_in_bytes(data)
        if place is not None:
            data += _read(stream, _BEFORE)
            start = _start_before(data, place)
            return Part(_with_head(beginning.data, data[start : start + MAX_BYTES]), offset + start, False)
    return beginning


def _start_before(data: bytes, place: int) -> int:
    """Start of a line or of an object, so that the part begins with a whole record."""
    first = max(0, place - _BEFORE)
    for border, length in ((b"\n", 1), (b"{", 0)):
        found = data.find(border, first, place)
        if found >= 0:
            return found + length
    return place


def _with_head(beginning: bytes, data: bytes) -> bytes:
    """With the first line of a file that has names of columns there."""
    head = beginning.partition(b"\n")[0]
    return data if head.lstrip(b"\xef\xbb\xbf \t")[:1] in (b"{", b"[", b"<", b"") else head + b"\n" + data


def _read(stream: IO[bytes], size: int) -> bytes:
    """At most `size` bytes; some stores return less than requested."""
    data = b""
    while len(data) < size and (part := stream.read(size - len(data))):
        data += part
    return data


def row_of(preview: Preview, key: str) -> int | None:
    """Index of the row of a table that contains the key."""
    return next((index for index, row in enumerate(preview.rows) if key in row), None)


def lines_of(text: str, start: int) -> tuple[int, int]:
    """Start and end of the indented object around a position, or of its line."""
    line_start = text.rfind("\n", 0, start) + 1
    line_end = _line_end(text, start)
    indent = _indent(text, line_start)
    if not indent:
        return line_start, line_end
    first, last = line_start, line_end
    while first and _indent(text, first) >= indent:
        first = text.rfind("\n", 0, first - 1) + 1
    while last < len(text) and _indent(text, last + 1) >= indent:
        last = _line_end(text, last + 1)
    if last < len(text):
        # The closing bracket.
        last = _line_end(text, last + 1)
    return first, last


def _line_end(text: str, position: int) -> int:
    end = text.find("\n", position)
    return len(text) if end < 0 else end


def _indent(text: str, line_start: int) -> int:
    end = line_start
    while end < len(text) and text[end] == " ":
        end += 1
    return end - line_start
