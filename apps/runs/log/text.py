"""Cleaning of messages before they are stored: secrets masked, control characters visible, length limited."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterable
from urllib.parse import quote, quote_plus

from apps.audit.masking import MASK

# Bytes of UTF-8 in one line, without the marker of a cut.
MAX_BYTES = 32 * 1024
# Shorter secrets are not masked: replacing every "a" would ruin the log and protect nothing.
_MIN_SECRET_LENGTH = 4

# Characters that are replaced. Colours (ESC[…m), tabs and line feeds are stored; lone surrogates represent invalid
# UTF-8.
_UNCLEAN = re.compile(r"\x1b\[[0-9;:]*m|[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_PERCENT = re.compile("%[0-9A-F]{2}")


def clean_message(message: str) -> str:
    """The message with visible control characters and escaped invalid UTF-8, cut to MAX_BYTES."""
    # Most messages are printable throughout, which is fast to check.
    if not message.isprintable():
        message = _UNCLEAN.sub(_visible, message.replace("\r\n", "\n"))
    # A character takes at most four bytes: only long messages must be measured.
    return _cut(message) if len(message) > MAX_BYTES // 4 else message


def make_masker(secrets: Iterable[str]) -> Callable[[str], str] | None:
    """A function that masks each secret in every spelling; None without secrets.

    Spellings: plain, URL-encoded, JSON-escaped, and Base64 (at any position within other data).
    """
    forms = {form for secret in secrets if len(secret) >= _MIN_SECRET_LENGTH for form in _forms(secret)}
    if not forms:
        return None
    # Longest first, so that a shorter secret within a longer one leaves no rest.
    pattern = re.compile("|".join(re.escape(form) for form in sorted(forms, key=len, reverse=True)))
    return lambda message: pattern.sub(MASK, message)


def _visible(match: re.Match[str]) -> str:
    character = match.group()
    if len(character) > 1:
        return character
    code = ord(character)
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "␡"
    if code < 0xA0:
        # C1 controls are ESC and a letter in one (ECMA-48, 5.3).
        return "␛" + chr(code - 0x40)
    # Python's surrogateescape: U+DC80 to U+DCFF are the bytes 80 to FF.
    return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else f"\\u{code:04x}"


def _cut(message: str) -> str:
    data = message.encode()
    if len(data) <= MAX_BYTES:
        return message
    beginning = data[:MAX_BYTES].decode(errors="ignore")
    return f"{beginning} … [{len(data) - len(beginning.encode()):,} bytes cut]"


def _forms(secret: str) -> set[str]:
    data = secret.encode()
    forms = {secret, quote(secret, safe=""), quote(secret), quote_plus(secret)}
    forms |= {json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1], repr(secret)[1:-1]}
    for shift in range(3):
        # Base64 turns three bytes into four characters: depending on its position a secret has three spellings, whose
        # first and last characters depend on the neighbouring bytes.
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            spelling = encode(b"\0" * shift + data).decode().rstrip("=")
            start = (0, 2, 3)[shift]
            end = len(spelling) - (1 if (len(data) + shift) % 3 else 0)
            if end - start >= _MIN_SECRET_LENGTH:
                forms.add(spelling[start:end])
    # Nested values: a JSON document in a string of another, Base64 in a URL.
    forms |= {json.dumps(form)[1:-1] for form in forms} | {quote(form, safe="") for form in forms}
    # Some programs write %2f, others %2F.
    return forms | {_PERCENT.sub(lambda match: match.group().lower(), form) for form in forms}
