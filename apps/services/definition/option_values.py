"""Takes the values out of one mapping of options; all that is wrong with them is told together."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

import jmespath
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from jmespath.exceptions import JMESPathError
from jmespath.parser import ParsedResult

_MAX_TEXT = 2000
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
# Headers that the connector sets itself, or that belong to the connection's sign-in.
_OWN_HEADERS = {
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "cookie",
    "expect",
    "host",
    "idempotency-key",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
}


@dataclass(frozen=True)
class Expression:
    """A JMESPath expression, compiled; two are equal where their texts are."""

    text: str
    compiled: ParsedResult = field(compare=False, repr=False)

    @classmethod
    def compile(cls, text: str) -> Expression:
        """Raises ValueError, whose text is the reason, where `text` is no JMESPath expression."""
        try:
            return cls(text, jmespath.compile(text))
        except JMESPathError as error:
            reason = str(error).strip().splitlines()[0].rstrip(": ")
            raise ValueError(reason.removeprefix("Invalid jmespath expression: ")) from None
        except RecursionError:
            raise ValueError(_("it is nested too deeply")) from None

    def search(self, document: Any) -> Any:
        """What the expression finds in `document`, None for nothing. Raises JMESPathError."""
        return self.compiled.search(document)


class OptionValues:
    """The options under one heading; every getter notes what is wrong and answers the default instead."""

    def __init__(self, data: Mapping[str, object], known: Collection[str], *, heading: str = "") -> None:
        self._data = data
        self._heading = heading
        self.errors: dict[str, list[str]] = {}
        for key in data:
            if key not in known:
                self.refuse(
                    str(key),
                    _("There is no such option; known are %(known)s.") % {"known": ", ".join(sorted(known))},
                )

    def refuse(self, key: str, reason: str) -> None:
        self.errors.setdefault(f"{self._heading}{key}", []).append(reason)

    def raise_errors(self) -> None:
        """Raises ValidationError where anything was wrong."""
        if self.errors:
            raise ValidationError({key: list(reasons) for key, reasons in self.errors.items()})

    def text(self, key: str, default: str = "", *, required: bool = False) -> str:
        value = self._data.get(key)
        if value is None or value == "":
            if required:
                self.refuse(key, _("This is needed."))
            return default
        if not isinstance(value, str):
            self.refuse(key, _("Write text, not %(value)s.") % {"value": _short(value)})
        elif len(value) > _MAX_TEXT:
            self.refuse(key, _("Write at most %(most)d characters.") % {"most": _MAX_TEXT})
        elif _CONTROL.search(value):
            self.refuse(key, _("Line breaks and other control characters are not allowed here."))
        else:
            return value
        return default

    def whole(self, key: str, default: int, *, least: int, most: int) -> int:
        """A whole number; digits in a text count too, because the command line and forms hand in texts."""
        value = self._data.get(key)
        if value is None or value == "":
            return default
        if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,18}", value.strip()):
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            self.refuse(
                key,
                _("“%(value)s” is not usable; write a whole number from %(least)d to %(most)d.")
                % {"value": _short(value), "least": least, "most": most},
            )
            return default
        return value

    def number(self, key: str, default: float, *, least: float, most: float) -> float:
        value = self._data.get(key)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
            self.refuse(
                key,
                _("“%(value)s” is not usable; write a number from %(least)g to %(most)g.")
                % {"value": _short(value), "least": least, "most": most},
            )
            return default
        return float(value)

    def flag(self, key: str, *, default: bool) -> bool:
        value = self._data.get(key)
        if value is None:
            return default
        if not isinstance(value, bool):
            self.refuse(key, _("“%(value)s” is not usable; write true or false.") % {"value": _short(value)})
            return default
        return value

    def choice(self, key: str, choices: Collection[str], default: str = "") -> str:
        value = self._data.get(key)
        if (value is None or value == "") and default:
            return default
        if not isinstance(value, str) or value not in choices:
            self.refuse(
                key,
                _("“%(value)s” is not known; write one of %(choices)s.")
                % {"value": "" if value is None else _short(value), "choices": ", ".join(choices)},
            )
            return default
        return value

    def expression(self, key: str, default: str = "", *, required: bool = False) -> Expression:
        text = self.text(key, default, required=required)
        try:
            return Expression.compile(text or "@")
        except ValueError as error:
            self.refuse(
                key,
                _("“%(text)s” is no JMESPath expression: %(reason)s. Write one such as data.items.")
                % {"text": _short(text), "reason": error},
            )
            return Expression.compile("@")

    def mapping(self, key: str) -> Mapping[str, object]:
        value = self._data.get(key)
        if value is None or value == "":
            return {}
        if isinstance(value, Mapping):
            return value
        self.refuse(key, _("Write names with their values, not %(value)s.") % {"value": _short(value)})
        return {}

    def parameters(self, key: str) -> dict[str, str]:
        """Names and values for the query of an address."""
        texts: dict[str, str] = {}
        for name, value in self.mapping(key).items():
            if isinstance(value, bool):
                texts[str(name)] = "true" if value else "false"
            elif isinstance(value, str | int | float):
                texts[str(name)] = str(value)
            else:
                self.refuse(
                    f"{key}.{name}", _("Write text or a number, not %(value)s.") % {"value": _short(value)}
                )
        return texts

    def headers(self, key: str, *, auth_header: str = "") -> dict[str, str]:
        """Header lines; none of them may split the request, nor stand in for the connection's sign-in."""
        texts = self.parameters(key)
        for name, value in texts.items():
            if not _HEADER_NAME.fullmatch(name):
                self.refuse(f"{key}.{name}", _("This is no header name: use letters, digits and hyphens."))
            elif name.lower() in _OWN_HEADERS or name.lower() == auth_header.lower():
                self.refuse(
                    f"{key}.{name}",
                    _("Synclog sets this header; credentials belong to the connection's sign-in."),
                )
            elif _CONTROL.search(value) or not value.isascii():
                self.refuse(
                    f"{key}.{name}",
                    _("A header's value is one line of plain ASCII text without control characters."),
                )
        return texts

    def path(self, key: str, *, required: bool = False) -> str:
        """A path below the connection's address, which no part of it may leave."""
        value = self.text(key, required=required)
        if ".." in re.split(r"[/\\?#]", _unquote_fully(value)):
            self.refuse(key, _("“..” would leave the connection's address; write the path below it."))
        elif "://" in value.split("?", 1)[0] or "::" in value:
            self.refuse(key, _("Write the path below the connection's address, not an address of its own."))
        elif "\\" in value:
            self.refuse(key, _("Part the folders with /, not with a backslash."))
        else:
            return value
        return ""


def _unquote_fully(value: str) -> str:
    """`value` with its percent escapes undone, also those that were escaped twice."""
    while (plain := unquote(value)) != value:
        value = plain
    return value


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 80 else f"{text[:80]}…"
