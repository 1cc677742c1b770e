"""Placeholders in the requests of a source, such as {cursor} and {page}."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from django.utils.translation import gettext as _

NAMES = ("cursor", "page", "offset", "size", "since", "run")
# Other braces, as in JSON or GraphQL, are part of the text.
_PLACEHOLDER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


class LocatedError(ValueError):
    """An error within a value; `location` are the keys that lead to it."""

    def __init__(self, message: str, location: tuple[str, ...]) -> None:
        super().__init__(message)
        self.location = location


def check_placeholders(text: str) -> str:
    """Raises ValueError for the first unknown placeholder in `text`."""
    for name in _PLACEHOLDER.findall(text):
        if name not in NAMES:
            raise ValueError(
                _("Unknown placeholder “{%(name)s}”. Allowed: %(names)s. Braces that are text need a space.")
                % {"name": name, "names": ", ".join(f"{{{known}}}" for known in NAMES)}
            )
    return text


def names_in(texts: Iterable[str]) -> Iterator[str]:
    """The names of the placeholders in `texts`."""
    for text in texts:
        yield from _PLACEHOLDER.findall(text)


def fill(text: str, text_of: Callable[[str], str]) -> str:
    """`text` with the texts that `text_of` returns for the names of its placeholders."""
    return _PLACEHOLDER.sub(lambda match: text_of(match[1]), text)


def whole(text: str) -> str | None:
    """The name of the placeholder that is all of `text`, None if there is more or less."""
    match = _PLACEHOLDER.fullmatch(text)
    return match[1] if match else None


def texts_in(body: Any) -> Iterator[str]:
    """The texts in a JSON value."""
    if isinstance(body, str):
        yield body
    elif isinstance(body, dict | list):
        for part in body.values() if isinstance(body, dict) else body:
            yield from texts_in(part)


def check_body(body: Any) -> Any:
    """Raises LocatedError for the first value in `body` that JSON does not know, or whose placeholder is unknown."""
    if not isinstance(body, dict | list):
        raise ValueError(_("Write an object or a list."))  # noqa: TRY004 - for Pydantic
    try:
        _check_part(body, ())
    except RecursionError:
        raise ValueError(_("it is nested too deeply")) from None
    return body


def _check_part(part: Any, location: tuple[str, ...]) -> None:
    if isinstance(part, dict | list):
        for key, inner in part.items() if isinstance(part, dict) else enumerate(part):
            _check_part(inner, (*location, str(key)))
    elif isinstance(part, str):
        if _UNSTORABLE.search(part):
            raise LocatedError(_("Invalid characters (NUL or half surrogate pairs); remove them."), location)
        try:
            check_placeholders(part)
        except ValueError as error:
            raise LocatedError(str(error), location) from None
    elif not (part is None or (isinstance(part, int | float) and math.isfinite(part))):
        raise LocatedError(_("Write text, a number, true, false or null."), location)
