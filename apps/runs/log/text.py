"""What becomes of a message before it is stored: secrets hidden, control characters shown, length bounded."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterable
from urllib.parse import quote, quote_plus

# Bytes of UTF-8 that one line may hold, the marker of a cut left out.
MOST_BYTES = 32 * 1024
HIDDEN = "••••"
# Shorter secrets are not looked for: hiding every "a" would ruin the log and protect nothing.
_SHORTEST_SECRET = 4

# All that is not stored as given. Colours (ESC[…m), tabs and line feeds are; lone surrogates stand for
# bytes that were no UTF-8.
_UNCLEAN = re.compile(r"\x1b\[[0-9;:]*m|[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_PERCENT = re.compile("%[0-9A-F]{2}")


def clean(message: str) -> str:
    """The message with control characters made visible, invalid UTF-8 escaped, and cut to MOST_BYTES."""
    # Most messages are printable from end to end, which is soon seen.
    if not message.isprintable():
        message = _UNCLEAN.sub(_visible, message.replace("\r\n", "\n"))
    # A character takes at most four bytes: only long messages need to be measured.
    return _cut(message) if len(message) > MOST_BYTES // 4 else message


def masker(secrets: Iterable[str]) -> Callable[[str], str] | None:
    """A function that hides each secret in a message, however it is written; None where there is none.

    The forms: as it is, URL-encoded, JSON-escaped, and base64 (with any neighbours before or after it).
    """
    forms = {form for secret in secrets if len(secret) >= _SHORTEST_SECRET for form in _forms(secret)}
    if not forms:
        return None
    # The longest first, so that no secret is left half hidden by a shorter one within it.
    pattern = re.compile("|".join(re.escape(form) for form in sorted(forms, key=len, reverse=True)))
    return lambda message: pattern.sub(HIDDEN, message)


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
    if len(data) <= MOST_BYTES:
        return message
    kept = data[:MOST_BYTES].decode(errors="ignore")
    return f"{kept} … [{len(data) - len(kept.encode()):,} bytes cut]"


def _forms(secret: str) -> set[str]:
    data = secret.encode()
    forms = {secret, quote(secret, safe=""), quote(secret), quote_plus(secret)}
    forms |= {json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1], repr(secret)[1:-1]}
    for shift in range(3):
        # Base64 turns three bytes into four characters: by its place among the bytes around it a secret has
        # three spellings, of which the first and last characters depend on its neighbours.
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            spelling = encode(b"\0" * shift + data).decode().rstrip("=")
            start = (0, 2, 3)[shift]
            end = len(spelling) - (1 if (len(data) + shift) % 3 else 0)
            if end - start >= _SHORTEST_SECRET:
                forms.add(spelling[start:end])
    # A value within a value: a JSON document that is a string of another, base64 in a URL.
    forms |= {json.dumps(form)[1:-1] for form in forms} | {quote(form, safe="") for form in forms}
    # Some write %2f where others write %2F.
    return forms | {_PERCENT.sub(lambda match: match.group().lower(), form) for form in forms}
