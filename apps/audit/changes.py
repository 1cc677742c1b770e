"""Values of the fields of a row, and the differences between two states of it. Secrets are never part of them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import date, datetime, time
from typing import Any

from django.core.exceptions import FieldDoesNotExist
from django.db.models import JSONField, Model

from apps.audit.masking import MASK, is_secret_name, masked_query

# Columns of which only the change is recorded.
_SECRETS = {"password"}
_ENCRYPTED = "_encrypted"
# Columns that no person sets.
_AUTOMATIC = {"created_at", "digest", "last_login", "last_used_at", "last_used_from"}
# Parts of JSON columns whose keys are names of headers or parameters, or of what a user wrote.
_FREE_PARTS = {"headers", "params", "body"}
# Characters of a value, and changes of one entry.
MAX_TEXT = 1000
_MAX_CHANGES = 100

type Values = dict[str, Any]


class Secret(str):
    """A value that is compared, but never shown."""

    __slots__ = ()


def field_values(row: Model) -> Values:
    """The values of `row` as its method `audit_values` returns them, otherwise those of its columns."""
    own = getattr(row, "audit_values", None)
    return own() if own else column_values(row)


def column_values(row: Model) -> Values:
    """What users can edit, by column; a JSON object as one value for each key; relations as names."""
    values: Values = {}
    for field in row._meta.concrete_fields:
        name = field.name
        if name in _SECRETS or name.endswith(_ENCRYPTED):
            values[name.removesuffix(_ENCRYPTED)] = Secret(getattr(row, name) or "")
        elif field.editable and not field.primary_key and name not in _AUTOMATIC:
            value = getattr(row, name)
            if isinstance(field, JSONField) and isinstance(value, dict):
                values |= {f"{name}.{key}": part for key, part in flattened(value)}
            else:
                values[name] = _plain(value)
    for relation in row._meta.many_to_many:
        values[relation.name] = sorted(str(other) for other in getattr(row, relation.name).all())
    return values


def flattened(value: Mapping[str, Any], *, is_free: bool = False) -> Iterator[tuple[str, Any]]:
    """The values of a JSON object with the path of each, such as "pagination.type"."""
    for key, part in value.items():
        if is_free and is_secret_name(str(key)):
            yield str(key), Secret(part)
        elif isinstance(part, Mapping):
            for path, inner in flattened(part, is_free=is_free or key in _FREE_PARTS):
                yield f"{key}.{path}", inner
        elif isinstance(part, str) and "?" in part:
            path, _mark, query = part.partition("?")
            yield str(key), Masked(part, f"{path}?{masked_query(query)}")
        else:
            yield str(key), _plain(part)


class Masked(str):
    """A text that is compared, and shown with its secrets masked."""

    shown: str

    def __new__(cls, text: str, shown: str) -> Masked:
        value = super().__new__(cls, text)
        value.shown = shown
        return value


def differences(model: type[Model], before: Values | None, after: Values) -> list[dict[str, Any]]:
    """The changed fields with their old and new values: {"field", "old", "new"}.

    `before` is None for a new row, which differs from the defaults of its columns. Both values of a secret are masked.
    """
    if before is None:
        before = {name: _default(model, name) for name in after}
    changes = []
    for name in dict.fromkeys((*before, *after)):
        old, new = before.get(name), after.get(name)
        if old != new and not (_is_empty(old) and _is_empty(new)):
            changes.append({"field": name, "old": _shown(old), "new": _shown(new)})
    return changes[:_MAX_CHANGES]


def _default(model: type[Model], name: str) -> Any:
    try:
        field: Any = model._meta.get_field(name)
    except FieldDoesNotExist:
        return None
    if field.many_to_many:
        return []
    return None if field.has_db_default() else _plain(field.get_default())


def _is_empty(value: Any) -> bool:
    return value is None or value in ("", [])


def _plain(value: Any) -> Any:
    """A value for JSON."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if isinstance(value, Mapping):
        return {
            key: Secret(part) if is_secret_name(str(key)) else _plain(part) for key, part in value.items()
        }
    return str(value)


def _shown(value: Any) -> Any:
    if isinstance(value, Secret):
        return MASK if value else ""
    if isinstance(value, Masked):
        value = value.shown
    if isinstance(value, dict):
        value = json.dumps({key: _shown(part) for key, part in value.items()}, ensure_ascii=False)
    if isinstance(value, list):
        value = ", ".join(str(_shown(part)) for part in value)
    if isinstance(value, str) and len(value) > MAX_TEXT:
        return f"{value[:MAX_TEXT]}…"
    return value
