"""Reads the items of a JSON array one by one."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from apps.services.exact_json import Parser, skip_space

# An error this close to the end of the text may be due to a value that continues, such as tru|e or \u00|e4.
_LONGEST_TOKEN = 12
_SPACE = " \t\n\r"


def read_array(read: Callable[[int], str], parser: Parser) -> Iterator[Any]:
    """Yields the items of the array that `read` returns in pieces, empty at the end.

    Raises ValueError with the reason and the position if it is not a JSON array.
    """
    text = _Text(read)
    text.expect("[")
    if text.next_character() != "]":
        yield text.parse_value(parser)
        while text.next_character() == ",":
            text.skip_character()
            yield text.parse_value(parser)
    text.expect("]")
    if character := text.next_character():
        raise ValueError(f"{character} follows its end at character {text.position + 1:,}")


class _Text:
    """The part of the text that is not parsed yet."""

    def __init__(self, read: Callable[[int], str]) -> None:
        self._read = read
        self._text = ""
        # Characters before the text.
        self._offset = 0
        self._start = 0

    @property
    def position(self) -> int:
        return self._offset + self._start

    def next_character(self) -> str:
        """The next character that is not white space; empty at the end."""
        while True:
            character = self._text[self._start : self._start + 1]
            if character and character not in _SPACE:
                return character
            self._start = skip_space(self._text, self._start)
            if self._start == len(self._text) and not self._extend():
                return ""

    def skip_character(self) -> None:
        self._start += 1

    def expect(self, character: str) -> None:
        if (found := self.next_character()) != character:
            what = f"{found} instead of {character}" if found else f"the end instead of {character}"
            raise ValueError(f"{what} at character {self.position + 1:,}")
        self._start += 1

    def parse_value(self, parser: Parser) -> Any:
        self.next_character()
        while True:
            try:
                value, end = parser.parse_at(self._text, self._start)
            except json.JSONDecodeError as error:
                may_continue = (
                    error.msg.startswith("Unterminated string")
                    or error.pos > len(self._text) - _LONGEST_TOKEN
                )
                if may_continue and self._extend():
                    continue
                raise ValueError(f"{error.msg} at character {self._offset + error.pos + 1:,}") from None
            # A number at the end of the text may continue.
            if end < len(self._text) or not self._extend():
                self._start = end
                return value

    def _extend(self) -> bool:
        """Drops what is parsed and doubles the rest, so that a large value is parsed only a few times."""
        rest = self._text[self._start :]
        more = self._read(len(rest))
        self._offset += self._start
        self._text, self._start = rest + more, 0
        return bool(more)
