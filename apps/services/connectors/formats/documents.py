"""Strict JSON: parsing, encoding, and selection of records by JMESPath."""

from __future__ import annotations

import logging
from email.message import Message
from typing import Any

from jmespath.exceptions import JMESPathError

from apps.services import exact_json
from apps.services.connectors.base import ConnectorError, Record
from apps.services.definition.expression import Expression

logger = logging.getLogger(__name__)

# Keys that a log line lists.
_MAX_LISTED = 20
_default_encoder = exact_json.Encoder()


def parse_json(data: bytes, parser: exact_json.Parser, charset: str = "") -> Any:
    """Parses `data`. Raises ValueError with the reason if it is not JSON."""
    return parser.parse(exact_json.decode(data, charset))


def charset_of(content_type: str) -> str:
    """The charset of a Content-Type header; empty if it has none."""
    header = Message()
    header["Content-Type"] = content_type
    return str(header.get_param("charset", ""))


def log_repeated_keys(parser: exact_json.Parser, origin: str) -> None:
    """Logs a warning if objects repeated keys since the last call."""
    if keys := parser.take_repeated_keys():
        more = f" and {len(keys) - _MAX_LISTED:,} more" if len(keys) > _MAX_LISTED else ""
        logger.warning(
            "%s: objects contain keys more than once, of which the last counts: %s",
            origin,
            ", ".join(key[:100] for key in keys[:_MAX_LISTED]) + more,
        )


def encode_json(value: Any, encoder: exact_json.Encoder = _default_encoder) -> bytes:
    """`value` as UTF-8 JSON on one line. Raises ConnectorError if JSON cannot represent it."""
    try:
        return exact_json.to_bytes(encoder.encode(value))
    except (ValueError, TypeError, RecursionError) as error:
        raise ConnectorError(f"A record cannot be written as JSON: {error}.") from None


def records_in(document: Any, expression: Expression, *, origin: str) -> list[Record]:
    """The list at `expression` in `document`. Raises ConnectorError if there is none."""
    try:
        found = expression.search(document)
    except (JMESPathError, RecursionError) as error:
        raise ConnectorError(
            f"The JMESPath “{expression.text}” fails on {origin}: {error or 'nested too deeply'}."
        ) from None
    if isinstance(found, list):
        return found
    raise ConnectorError(
        f"The JMESPath “{expression.text}” matches no list in {origin}: it matches {_described(found)}, and"
        f" the document is {_described(document)}. Set “records” to the path of the list, such as "
        "data.items."
    )


def excerpt(data: bytes, length: int = 300, charset: str = "") -> str:
    """The beginning of `data` on one line, for an error message; in UTF-8 if `charset` is empty or unknown."""
    beginning = data[: length * 4]
    try:
        text = beginning.decode(charset or "utf-8", "replace")
    except (LookupError, UnicodeError):
        text = beginning.decode("utf-8", "replace")
    text = " ".join(text.split())
    return text if len(text) <= length else f"{text[:length]}…"


def _described(value: Any) -> str:
    match value:
        case None:
            return "nothing"
        case dict():
            keys = ", ".join(str(key) for key in list(value)[:10])
            return f"an object with the keys {keys}" if keys else "an empty object"
        case list():
            return f"a list of {len(value)}"
        case str():
            return "a text"
        case bool():
            return "true" if value else "false"
        case _:
            return "a number"
