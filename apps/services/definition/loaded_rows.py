"""Rows that a file describes: what differs is set, what results is validated under the file's own keys."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Literal

from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.db.models import Model

type Outcome = Literal["created", "updated", "unchanged"]


def assign(row: Model, fields: Mapping[str, Any]) -> set[str]:
    """Sets `fields` on `row` and answers the names of those that were otherwise."""
    changed = {name for name, value in fields.items() if getattr(row, name) != value}
    for name in changed:
        setattr(row, name, fields[name])
    return changed


def outcome_of(row: Model, *, changed: Collection[str]) -> Outcome:
    """What becomes of `row`, which is not saved yet."""
    if row.pk is None:
        return "created"
    return "updated" if changed else "unchanged"


def validate(row: Model, key_of_field: Mapping[str, str]) -> None:
    """Raises ValidationError by the keys of the file, where `key_of_field` names those that differ."""
    # What an entry is called is the key of the entry itself.
    keys = {"name": NON_FIELD_ERRORS, "slug": NON_FIELD_ERRORS} | dict(key_of_field)
    try:
        row.full_clean()
    except ValidationError as error:
        raise ValidationError(
            {keys.get(field, field): reasons for field, reasons in error.message_dict.items()}
        ) from None
