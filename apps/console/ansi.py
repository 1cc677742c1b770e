"""Renders the text of a log line as safe HTML: colours as spans with classes, invisible signs made visible."""

from __future__ import annotations

import re
import unicodedata
from html import escape

_PIECES = re.compile(r"\x1b\[([0-9;]*)m")
# What turns the order of text around, hides in it, or drives a terminal; line breaks and tabs are text.
_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2064\u2066-\u2069\ufeff]"
)
_COLOURS = ("black", "red", "green", "yellow", "blue", "magenta", "cyan", "white")
_STYLES = {1: "bold", 2: "faint", 3: "italic", 4: "underline"}


def message_html(message: str) -> str:
    """The message as HTML in which nothing but our own spans is markup."""
    if "\x1b" not in message:
        return _text(message)
    html: list[str] = []
    styles: dict[str, str] = {}
    # Odd pieces are the codes of a colour sequence, even ones the text between.
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
    return f'<span class="hidden-sign" title="{name}">U+{ord(sign):04X}</span>'


def _apply(styles: dict[str, str], codes: str) -> None:
    """Take the codes of one sequence into `styles`; what has no place in our themes is passed over."""
    numbers = [int(code or 0) for code in codes.split(";") if len(code) < 4]
    position = 0
    while position < len(numbers):
        number = numbers[position]
        if number in {38, 48}:
            # 5;n or 2;r;g;b follow.
            position += 2 if numbers[position + 1 : position + 2] == [5] else 4
        elif number == 0:
            styles.clear()
        elif number in _STYLES:
            styles[_STYLES[number]] = _STYLES[number]
        elif number == 22:
            styles.pop("bold", None)
            styles.pop("faint", None)
        elif number in {23, 24}:
            styles.pop(_STYLES[number - 20], None)
        elif number == 39:
            styles.pop("colour", None)
        elif 30 <= number <= 37 or 90 <= number <= 97:
            styles["colour"] = _COLOURS[number % 10]
        position += 1
