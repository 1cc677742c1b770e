"""Log messages as safe HTML: ANSI colours as spans, invisible characters made visible."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from html import escape
from itertools import islice

_PIECES = re.compile(r"\x1b\[([0-9;:]*)m")
# Characters that reverse or hide text or control a terminal; line breaks and tabs are text.
_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2064\u2066-\u2069\ufeff]"
)
_COLOURS = ("black", "red", "green", "yellow", "blue", "magenta", "cyan", "white")
# Of the 256 colours, those from 16 are a cube of 6 x 6 x 6 and a grey scale.
_CUBE = (0, 95, 135, 175, 215, 255)
# Prefix of the class by the tens of a code: foreground or background.
_GROUNDS = {3: "", 4: "on-", 9: "", 10: "on-"}
# Codes of extended colours; the last one is the underline colour, which is ignored.
_LONGER = (38, 48, 58)
_STYLES = {1: "bold", 2: "faint", 3: "italic", 4: "underline"}


def message_html(message: str) -> str:
    """The message as HTML with no markup except our own spans."""
    if "\x1b" not in message:
        return _text(message)
    html: list[str] = []
    styles: dict[str, str] = {}
    # Odd pieces are codes of a colour sequence, even pieces the text between.
    for index, piece in enumerate(_PIECES.split(message)):
        if index % 2:
            _apply(styles, piece)
        elif piece and styles:
            classes = " ".join(f"ansi-{name}" for name in styles.values())
            html.append(f'<span class="{classes}">{_text(piece)}</span>')
        elif piece:
            html.append(_text(piece))
    return "".join(html)


def _text(text: str) -> str:
    return _HIDDEN.sub(_visible, escape(text))


def _visible(match: re.Match[str]) -> str:
    sign = match.group()
    name = unicodedata.name(sign, "control character").lower()
    return f'<span class="invisible-character" title="{name}">U+{ord(sign):04X}</span>'


def _apply(styles: dict[str, str], codes: str) -> None:
    """Applies the codes of one sequence to `styles`; unsupported codes are ignored."""
    numbers = _numbers(codes)
    for number in numbers:
        if number == 0:
            styles.clear()
        elif number in _STYLES:
            styles[_STYLES[number]] = _STYLES[number]
        elif number == 22:
            styles.pop("bold", None)
            styles.pop("faint", None)
        elif number in {23, 24}:
            styles.pop(_STYLES[number - 20], None)
        elif number in {39, 49}:
            styles.pop(_GROUNDS[number // 10], None)
        elif number in _LONGER:
            _paint(styles, number, _longer_colour(numbers))
        elif number % 10 < 8:
            _paint(styles, number, _COLOURS[number % 10])


def _numbers(codes: str) -> Iterator[int]:
    """The numbers of a sequence. Colons separate parts of one code: "38:2::255:0:0" is 38;2;255;0;0, "4:3" a kind
    of 4.
    """
    for code in codes.split(";"):
        # Longer numbers have no meaning.
        number, *values = [int(digits[:4] or 0) for digits in code.split(":")]
        yield number
        if number in _LONGER and values:
            kind, *rest = values
            yield kind
            yield from rest[-3:] if kind == 2 else rest[:1]


def _paint(styles: dict[str, str], number: int, colour: str | None) -> None:
    ground = _GROUNDS.get(number // 10)
    if ground is not None and colour:
        styles[ground] = ground + colour


def _longer_colour(numbers: Iterator[int]) -> str | None:
    """Consumes what follows a 38 or 48, "5;n" or "2;r;g;b", and returns our colour, or None."""
    match list(islice(numbers, {5: 1, 2: 3}.get(next(numbers, 0), 0))):
        case [number]:
            return _nearest_of_256(number)
        case [red, green, blue]:
            return _nearest(red, green, blue)
    return None


def _nearest_of_256(number: int) -> str:
    if number < 16:
        return _COLOURS[number % 8]
    if number < 232:
        place = number - 16
        return _nearest(_CUBE[place // 36], _CUBE[place // 6 % 6], _CUBE[place % 6])
    grey = 8 + 10 * (number - 232)
    return _nearest(grey, grey, grey)


def _nearest(red: int, green: int, blue: int) -> str:
    """Our colour with the same hue. As in terminals, red counts 1, green 2 and blue 4."""
    low, high = min(red, green, blue), max(red, green, blue)
    if high - low < 48:
        return "white" if high > 180 else "black"
    middle = (low + high) / 2
    return _COLOURS[(red > middle) + 2 * (green > middle) + 4 * (blue > middle)]
