"""Strict JSON: parsing, encoding, and selection of records by JMESPath."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from jmespath.exceptions import JMESPathError

from apps.services.connectors.base import ConnectorError, Record
from apps.services.definition.option_types import Expression


def parse_json(data: bytes) -> Any:
    """Parses `data`. Raises ValueError with the reason if it is not JSON."""
    try:
        return json.loads(data, parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        raise ValueError(f"byte {error.start} is not valid {error.encoding}") from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def encode_json(value: Any) -> bytes:
    """`value` as UTF-8 JSON on one line. Raises ConnectorError if JSON cannot represent it."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    except (ValueError, TypeError, RecursionError) as error:
        raise ConnectorError(f"A record cannot be written as JSON: {error}.") from None
    try:
        return text.encode()
    except UnicodeEncodeError:
        # Half of a surrogate pair, which only an escape can contain.
        return json.dumps(value).encode()


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


def excerpt(data: bytes, length: int = 300) -> str:
    """The beginning of `data` on one line, for an error message."""
    text = " ".join(data[: length * 4].decode("utf-8", "replace").split())
    return text if len(text) <= length else f"{text[:length]}…"


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


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
