"""Header `Range` (RFC 9110, section 14) with a single range of bytes."""

from __future__ import annotations

import re
from dataclasses import dataclass

_SINGLE_RANGE = re.compile(
    r"bytes=[ \t]*(?:(?P<first>[0-9]{1,100})-(?P<last>[0-9]{0,100})|-(?P<suffix>[0-9]{1,100}))[ \t]*", re.I
)


class Unsatisfiable(Exception):
    """The range begins after the end of the file."""


@dataclass(frozen=True)
class ByteRange:
    """Bytes `first` to `last`, both included, counted from 0."""

    first: int
    last: int

    @property
    def length(self) -> int:
        return self.last - self.first + 1


def parse_range(header: str, size: int) -> ByteRange | None:
    """The range in `header` of a file of `size` bytes.

    None if the header is empty or invalid, or has several ranges or another unit: then the whole file is a correct
    response. Raises Unsatisfiable.
    """
    match = _SINGLE_RANGE.fullmatch(header)
    if match is None:
        return None
    if match["suffix"] is not None:
        length = min(int(match["suffix"]), size)
        byte_range = ByteRange(size - length, size - 1)
    else:
        first = int(match["first"])
        last = int(match["last"]) if match["last"] else first + size
        if last < first:
            return None
        byte_range = ByteRange(first, min(last, size - 1))
    if byte_range.length < 1:
        raise Unsatisfiable
    return byte_range
