"""Spellings of the numbers that pass through a script.

Starlark has floats only: 19.90 becomes 19.9. A float that the script returns gets the spelling back that it had in the
records of the same call. If the records spell one float in several ways, such as 19.9 and 19.90, the script is called
once more with neighbouring floats for all spellings but the first, which shows where each of them is passed on.
"""

from __future__ import annotations

import math
from itertools import zip_longest
from typing import Any

from apps.services.exact_json import ExactNumber, parse_with


class Spellings:
    """Spellings of the floats of one call."""

    def __init__(self) -> None:
        # The first spelling of each float. Floats are keys as texts, because 0.0 equals -0.0.
        self._first: dict[str, str] = {}
        # Further spellings: the neighbour that stands for each of them.
        self._neighbours: dict[tuple[str, str], str] = {}

    @property
    def are_ambiguous(self) -> bool:
        return bool(self._neighbours)

    def float_of(self, number: ExactNumber) -> str:
        """The text of a number for the first call. Raises ValueError if it is too large for a float."""
        if math.isinf(number):
            raise ValueError(f"{number.text} is too large for a script")
        value = float.__repr__(number)
        if self._first.setdefault(value, number.text) != number.text:
            self._neighbours.setdefault((value, number.text), "")
        return value

    def choose_neighbours(self) -> None:
        """Prepares the second call."""
        taken = set(self._first)
        last: dict[str, str] = {}
        for value, text in self._neighbours:
            towards = 0.0 if float(value) > 1 else math.inf
            near = last.get(value, value)
            while near in taken:
                near = float.__repr__(math.nextafter(float(near), towards))
            self._neighbours[value, text] = last[value] = near
            taken.add(near)

    def neighbour_of(self, number: ExactNumber) -> str:
        """The text of a number for the second call."""
        value = float.__repr__(number)
        return self._neighbours.get((value, number.text), value)

    def restore(self, result: str) -> Any:
        """The result of the only call, with the spellings. Raises ValueError if it is not JSON."""
        return parse_with(lambda text: ExactNumber(self._first.get(_canonical(text), text)), result)

    def restore_by(self, result: str, second: str) -> tuple[Any, list[str]]:
        """The result of the first call, with spellings by the result of the second one, and the floats whose spelling
        remains unknown: they get the first one. Raises ValueError if the result is not JSON.
        """
        (shape, floats), (second_shape, second_floats) = _floats_in(result), _floats_in(second)
        spelling_of = {(value, neighbour): text for (value, text), neighbour in self._neighbours.items()}
        unknown = set()
        if shape != second_shape or len(floats) != len(second_floats):
            unknown = {value for value, _text in self._neighbours} & set(floats)
            second_floats = []
        texts = iter(
            [
                spelling_of.get((value, other), self._first.get(value, ""))
                for value, other in zip_longest(floats, second_floats[: len(floats)])
            ]
        )
        return parse_with(lambda text: ExactNumber(next(texts) or text), result), sorted(unknown)


def _floats_in(document: str) -> tuple[Any, list[str]]:
    """The document without its floats, and the floats."""
    floats: list[str] = []
    return parse_with(lambda text: floats.append(_canonical(text)), document), floats


def _canonical(text: str) -> str:
    return float.__repr__(float(text))
