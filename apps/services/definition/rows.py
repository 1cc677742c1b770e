"""Rows of a description: options that are columns of a model, and the creation or update of a row."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Literal

from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db.models import NOT_PROVIDED, Model
from pydantic import Field

type Outcome = Literal["created", "updated", "unchanged"]


def column(model: type[Model], name: str) -> Any:
    """The option that is the column `name`: its default, bounds, label and help text are those of the model."""
    field: Any = model._meta.get_field(name)
    limits: dict[str, Any] = {}
    for validator in field.validators:
        # Databases add bounds of their own; the narrowest counts.
        if isinstance(validator, MinValueValidator):
            limits["ge"] = max(limits.get("ge", validator.limit_value), validator.limit_value)
        elif isinstance(validator, MaxValueValidator):
            limits["le"] = min(limits.get("le", validator.limit_value), validator.limit_value)
    default = None if field.null else "" if field.default is NOT_PROVIDED else field.default
    return Field(
        default, title=_source_text(field.verbose_name), description=_source_text(field.help_text), **limits
    )


def assign(row: Model, fields: Mapping[str, Any]) -> set[str]:
    """Sets `fields` on `row` and returns the names of those that changed."""
    changed = {name for name, value in fields.items() if getattr(row, name) != value}
    for name in changed:
        setattr(row, name, fields[name])
    return changed


def outcome_of(row: Model, *, changed: Collection[str]) -> Outcome:
    """The outcome of saving `row`, which is not saved yet."""
    if row.pk is None:
        return "created"
    return "updated" if changed else "unchanged"


def validate(row: Model, key_of_field: Mapping[str, str]) -> None:
    """Raises ValidationError by key of the description; `key_of_field` names keys that differ from the field."""
    # Name and slug are the key of the entry itself.
    keys = {"name": NON_FIELD_ERRORS, "slug": NON_FIELD_ERRORS} | dict(key_of_field)
    try:
        row.full_clean()
    except ValidationError as error:
        raise ValidationError(
            {keys.get(field, field): reasons for field, reasons in error.message_dict.items()}
        ) from None


def _source_text(lazy: Any) -> str:
    """The text before its translation: this module is imported once, for all languages."""
    return str(getattr(lazy, "_args", [lazy])[0])
