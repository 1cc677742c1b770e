"""Keys of records, compared as text: 10045 equals "10045"."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from jmespath.exceptions import JMESPathError

from apps.runs.log.text import clean_message
from apps.services.connectors.base import ConnectorError
from apps.services.definition.expression import Expression
from apps.services.models import Service

MAX_LENGTH = 200
_LINE_BREAKS = str.maketrans({"\n": "␊", "\t": "␉"})


def key_expressions(service: Service) -> tuple[Expression, Expression]:
    """The expressions for the key of a pulled record and of a pushed one. Raises ConnectorError."""
    texts = service.source_options.get("id_field") or "id", service.destination_options.get("id_field")
    try:
        source = Expression.compile(texts[0])
        return source, Expression.compile(texts[1]) if texts[1] else source
    except ValueError as error:
        raise ConnectorError(f"The option “id_field” of service {service.slug} is invalid: {error}") from None


def key_reader(expression: Expression) -> Callable[[Any], str]:
    """A function that returns the key of a record, empty if the record has none."""
    node = expression.compiled.parsed
    if node["type"] == "field":
        # The usual case, without the cost of an interpreter.
        name = node["value"]
        return lambda record: key_text(record.get(name)) if isinstance(record, dict) else ""

    def read(record: Any) -> str:
        try:
            return key_text(expression.search(record))
        except JMESPathError:
            # Such as length(@) of a number.
            return ""

    return read


def key_text(value: Any) -> str:
    """The key as it is stored: at most MAX_LENGTH characters on one line.

    The end of a longer key is replaced by a digest. Empty for values that cannot be a key: missing, empty, true or
    false, a list, an object.
    """
    kind = type(value)
    if kind is int:
        return str(value)
    if kind is not str:
        return str(value) if isinstance(value, float | Decimal) else ""
    value = _on_one_line(value)
    if len(value) > MAX_LENGTH:
        digest = hashlib.sha256(value.encode()).hexdigest()[:32]
        value = f"{value[: MAX_LENGTH - 33]}…{digest}"
    return str(value)


def key_pattern(text: str) -> str:
    """What was typed, for `with_key`: a key as it is stored, or its beginning and `*`."""
    return f"{_on_one_line(text[:-1])}*" if text.endswith("*") else key_text(text)


def _on_one_line(value: str) -> str:
    return value if value.isprintable() else clean_message(value).translate(_LINE_BREAKS)
