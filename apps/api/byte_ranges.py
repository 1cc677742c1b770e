"""The header `Range` (RFC 9110, section 14), as far as one range of bytes goes."""

from __future__ import annotations

import re
from dataclasses import dataclass

_ONE_RANGE = re.compile(
    r"bytes=[ \t]*(?:(?P<first>[0-9]{1,100})-(?P<last>[0-9]{0,100})|-(?P<suffix>[0-9]{1,100}))[ \t]*", re.I
)


class Unsatisfiable(Exception):
    """The file ends before the range begins."""


@dataclass(frozen=True)
class ByteRange:
    """Bytes `first` to `last`, both included, counted from 0."""

    first: int
    last: int

    @property
    def length(self) -> int:
        return self.last - self.first + 1


def wanted_range(header: str, size: int) -> ByteRange | None:
    """The range that `header` asks of `size` bytes.

    None where it asks for none, for several, or in another unit: the whole is then a right answer too.
    Raises Unsatisfiable.
    """
    match = _ONE_RANGE.fullmatch(header)
    if match is None:
        return None
    if match["suffix"] is not None:
        length = min(int(match["suffix"]), size)
        wanted = ByteRange(size - length, size - 1)
    else:
        first = int(match["first"])
        last = int(match["last"]) if match["last"] else first + size
        if last < first:
            return None
        wanted = ByteRange(first, min(last, size - 1))
    if wanted.length < 1:
        raise Unsatisfiable
    return wanted
