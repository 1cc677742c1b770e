"""Placeholders in the requests of a source, such as {cursor} and {page}."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

from django.utils.translation import gettext as _

NAMES = ("cursor", "page", "offset", "size", "run")
# Other braces, as in JSON or GraphQL, are part of the text.
_PLACEHOLDER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")


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
