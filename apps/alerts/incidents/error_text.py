"""Text of errors in messages: the cause without the data that an error quotes."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

_MAX_LENGTH = 300
_HIDDEN = "…"

# The excerpt of a response: after its status, or after the words that introduce it.
_EXCERPT = re.compile(r"(\b[A-Z]{3,7} \S+: \d{3}\b[^:]*|\bIt begins|\bis true): .*")
# A body in JSON or XML.
_BODY = re.compile(r"(?:[\[{]\s*[\[{\"'\d]|<[A-Za-z!?/]).*")
_QUOTED = re.compile(r"\"[^\"]*\"|“[^”]*”|„[^“”]*[“”]|‘[^’]*’|«[^»]*»|(?<!\w)'[^']*'(?!\w)")
# Names of fields and of environment variables are not data of customers.
_NAME = re.compile(r"[a-z_]+|[A-Z_]+")
_EMAIL = re.compile(r"[\w.+%-]+@[\w-]+(?:\.[\w-]+)*")
_URL = re.compile(r"\b[a-z][a-z0-9+.-]*://[^\s\"'“”<>]*[^\s\"'“”<>:;,.]")
# Words with digits such as 10045 and A-17, but no statuses and small counts.
_KEY = re.compile(r"(?:\b[A-Za-z]{1,6}[-_])(?=\d)[\w-]*|\b(?=\w*\d)\w{4,}\b")


def without_data(error: str, *, with_record_keys: bool = False) -> str:
    """The first line of an error without excerpts of responses, quoted values, mail addresses and record keys."""
    text = error.partition("\n")[0]
    text = _BODY.sub(_HIDDEN, _EXCERPT.sub(r"\1", text))
    text = _QUOTED.sub(_shown_quote, text)
    text = _EMAIL.sub(_HIDDEN, text)
    if not with_record_keys:
        # URLs first: their hosts and ports must not be taken for keys.
        parts = re.split(f"({_URL.pattern})", text)
        text = "".join(
            _shown_url(part) if index % 2 else _KEY.sub(_HIDDEN, part) for index, part in enumerate(parts)
        )
    return text if len(text) <= _MAX_LENGTH else text[: _MAX_LENGTH - 1] + _HIDDEN


def _shown_quote(quoted: re.Match[str]) -> str:
    text = quoted[0]
    return text if _NAME.fullmatch(text[1:-1]) else f"{text[0]}{_HIDDEN}{text[-1]}"


def _shown_url(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        return _HIDDEN
    query = f"?{_HIDDEN}" if parts.query else ""
    return f"{parts.scheme}://{parts.netloc}{_KEY.sub(_HIDDEN, parts.path)}{query}"
