"""Format of the spool: the text format of PostgreSQL's COPY, so that the shipper can pass it on without parsing.

Run, sequence, time, level, step and message, separated by tabs, one line each. Tab, line feed and backslash within a
message are escaped.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import NamedTuple

# Bytes that are read and shipped at once.
CHUNK_BYTES = 1024 * 1024

_ESCAPED = str.maketrans({"\\": "\\\\", "\n": "\\n", "\t": "\\t"})
_ESCAPE_SEQUENCE = re.compile(r"\\(.)")
_UNESCAPED = {"n": "\n", "t": "\t", "\\": "\\"}


class SpoolLine(NamedTuple):
    """One line of the spool; `logged_at` is UTC without a zone."""

    run_id: int
    sequence: int
    logged_at: str
    level: int
    step: int
    message: str


def escape(message: str) -> str:
    if "\\" in message or "\n" in message or "\t" in message:
        return message.translate(_ESCAPED)
    return message


def unescape(text: str) -> str:
    if "\\" in text:
        return _ESCAPE_SEQUENCE.sub(lambda match: _UNESCAPED[match.group(1)], text)
    return text


def format_line(run_id: int, sequence: int, logged_at: str, level: int, step: int, message: str) -> bytes:
    """A line in the format of the spool; `logged_at` as `time_text` formats it."""
    return f"{run_id}\t{sequence}\t{logged_at}\t{level:d}\t{step:d}\t{escape(message)}\n".encode()


def time_text(seconds: float) -> str:
    """Time since the epoch in the format of the spool: UTC with microseconds."""
    whole = int(seconds)
    text = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(whole))
    return f"{text}.{int((seconds - whole) * 1_000_000):06d}+00"


def sequence_of(line: bytes) -> int:
    """Number of a line. Raises ValueError if the line is invalid."""
    return int(line.partition(b"\t")[2].partition(b"\t")[0])


def renumbered(chunk: bytes, first: int) -> bytes:
    """The lines of a chunk, renumbered from `first`."""
    parts = (line.split(b"\t", 2) for line in chunk.splitlines(keepends=True))
    return b"".join(
        b"%b\t%d\t%b" % (run_id, sequence, rest) for sequence, (run_id, _old, rest) in enumerate(parts, first)
    )


def parse_lines(chunk: bytes) -> Iterator[SpoolLine]:
    """Parses the lines of a chunk that ends with a line feed."""
    for text in chunk.decode().split("\n")[:-1]:
        run_id, sequence, logged_at, level, step, message = text.split("\t", 5)
        yield SpoolLine(int(run_id), int(sequence), logged_at[:-3], int(level), int(step), unescape(message))
