"""Fingerprints: messages that differ only in numbers, ids, quoted values, URLs or times are one problem.

The rule is in the handbook, problems.md. A change of it raises VERSION: new occurrences then belong to new problems.
"""

from __future__ import annotations

import re
from functools import lru_cache
from hashlib import blake2b

VERSION = 1
# Of the first line and of the exception: the beginning says what happened.
_MAX_LENGTH = 400
_MAX_TITLE = 200
_TRACE = "Traceback (most recent call last):"

_URL = re.compile(r"[A-Za-z]+://[^\s\"'“”„‘’«»<>)\]}]*[^\s\"'“”„‘’«»<>)\]}.,;:!?…]")
# The text of an error within a JSON body names the cause; other quoted values do not.
_JSON_ERROR = re.compile(
    r'"(?:errors?|error_description|message|msg|code|reason|detail|title|type|description)"\s*:\s*"((?:[^"\\]|\\.)*)"'
)
# By the first character, which is searched for first.
_QUOTED = {
    '"': re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"'),
    "“": re.compile("“[^”]*”"),
    "„": re.compile("„[^“”]*[“”]"),
    "‘": re.compile("‘[^’]*’"),
    "«": re.compile("«[^»]*»"),
    "`": re.compile("`[^`]*`"),
    "'": re.compile(r"(?<!\w)'[^']*'(?!\w)"),
}
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
# Statuses and error codes name a cause: their digits become letters.
_CODE = re.compile(
    r"(HTTP(?:/[\d.]+)?|[Ss]tatus|[Ee]rrno|SQLSTATE|ORA|(?:[Ee]rror|[Ee]xit|[Ss]tatus) code)([ :=-]+\d+)"
)
_CODE_WORDS = ("HTTP", "tatus", "rrno", "SQLSTATE", "ORA-", " code")
_LETTERS = str.maketrans("0123456789", "ABCDEFGHIJ")
_DIGITS = re.compile(r"\d+")

_EMAIL = re.compile(r"[\w.+%-]+@[\w-]+(?:\.[\w-]+)*")
_FILE = re.compile(
    r"(?:[\w.#~+-]*[/\\])*[\w.#%+-]+\.(?:csv|tsv|json|jsonl|ndjson|xml|xlsx?|txt|dat|pdf|zip|gz|tar|log|tmp)\b"
)
# Words that contain a digit, such as A-17, 1.5 and 2026-11-23T07:15:09Z.
_NUMBER = re.compile(r"(?:\b[A-Z]{1,6}[-_])?(?<!\w)\w*\d\w*(?:[-.:,+/]\w*\d\w*)*")
_LIST = re.compile(r"(#|<\w+>)(?:(?:, | and )\1)+(?: more)?")
# “1 record was” and “2 records were” are one text.
_PLURAL = re.compile(r"# (?!(?:was|is|has|does)\b)([a-z]+?)s?\b(?: (?:was|were|is|are|has|have)\b)?")
_FRAME = re.compile(r"^  File .*, in (\S+)$", re.MULTILINE)
_EXCEPTION = re.compile(r"^[A-Za-z_][\w.]*(?::.*)?$", re.MULTILINE)


def fingerprint(message: str) -> str:
    """Fingerprint of a cleaned message: the version and 16 hexadecimal digits.

    Most messages differ in numbers only, and the rest takes ten times as long: it is cached.
    """
    return _of_text(_without_numbers(message))


def normalized(message: str) -> str:
    """What the fingerprint is computed from: the first line and the exception, without what varies."""
    return _normalized(_without_values(_without_numbers(message)))


def title_of(message: str) -> str:
    """One line that names the problem: the first line, and the exception of a traceback."""
    first, _separator, rest = message.partition("\n")
    exceptions = _EXCEPTION.findall(rest) if _TRACE in rest else []
    # The first line about a script has the text of Starlark's error already.
    if exceptions and not exceptions[-1].startswith("error: "):
        first = f"{first}: {exceptions[-1]}"
    return first if len(first) <= _MAX_TITLE else first[: _MAX_TITLE - 1] + "…"


def _without_numbers(message: str) -> str:
    """The part that counts; numbers except codes become 0."""
    text = message if "\n" not in message else _first_line_and_exception(message)
    text = text[:_MAX_LENGTH]
    if text.count("-") >= 4:
        text = _UUID.sub("0", text)
    if any(word in text for word in _CODE_WORDS):
        text = _CODE.sub(lambda match: match[1] + match[2].translate(_LETTERS), text)
    return _DIGITS.sub("0", text)


def _without_values(text: str) -> str:
    """The text without URLs and quoted values."""
    if "://" in text:
        text = _URL.sub("<url>", text)
    if '":' in text:
        text = _JSON_ERROR.sub(r"\1", text)
    for quote, quoted in _QUOTED.items():
        if quote in text:
            text = quoted.sub("<value>", text)
    return text


def _first_line_and_exception(message: str) -> str:
    """The first line; of a traceback also the exception and the function that raised it."""
    first, _separator, rest = message.partition("\n")
    if _TRACE not in rest:
        return first
    exceptions, frames = _EXCEPTION.findall(rest), _FRAME.findall(rest)
    return " ".join((first[: _MAX_LENGTH // 2], *frames[-1:], *exceptions[-1:]))


@lru_cache(maxsize=4096)
def _of_text(text: str) -> str:
    return _digest(_without_values(text))


@lru_cache(maxsize=4096)
def _digest(text: str) -> str:
    digest = blake2b(_normalized(text).encode(errors="replace"), digest_size=8)
    return f"{VERSION}-{digest.hexdigest()}"


def _normalized(text: str) -> str:
    if "@" in text:
        text = _EMAIL.sub("<email>", text)
    text = _FILE.sub("<file>", text)
    text = _LIST.sub(r"\1", _NUMBER.sub("#", text))
    return " ".join(_PLURAL.sub(r"# \1", text).split())
