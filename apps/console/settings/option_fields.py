"""How the options of a source and a destination, a JSON object each, become form fields and come back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from apps.services.definition.options import DESTINATION_KEYS, PAGINATION_KEYS, SOURCE_KEYS

# The choices, by the field where they are made, under which another field applies.
type Condition = Mapping[str, tuple[str, ...]]

_PAGINATION = "pagination"


@dataclass(frozen=True)
class OptionFields:
    """The fields of one side: `source_path` holds `path`, `source_pagination_type` holds `pagination.type`."""

    side: str
    keys: Mapping[Any, tuple[str, ...]]

    def initial(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """What the fields show for stored options; a key that is not stored shows nothing."""
        values = {f"{self.side}_{key}": value for key, value in options.items() if key != _PAGINATION}
        pagination = options.get(_PAGINATION) or {}
        return values | {f"{self.side}_{_PAGINATION}_{key}": value for key, value in pagination.items()}

    def read(self, kind: str, cleaned: Mapping[str, Any]) -> dict[str, Any]:
        """The options that the fields give for a connection of this kind; what is left empty is left out."""
        options: dict[str, Any] = {}
        for key in self.keys[kind]:
            if key == _PAGINATION:
                options[key] = self._read_pagination(cleaned)
            else:
                options[key] = cleaned.get(f"{self.side}_{key}")
        return {key: value for key, value in options.items() if value not in (None, "", {})}

    def _read_pagination(self, cleaned: Mapping[str, Any]) -> dict[str, Any]:
        prefix = f"{self.side}_{_PAGINATION}_"
        chosen = cleaned.get(f"{prefix}type") or "none"
        if chosen == "none":
            return {}
        values = {key: cleaned.get(prefix + key) for key in PAGINATION_KEYS.get(chosen, ())}
        return {"type": chosen} | {key: value for key, value in values.items() if value not in (None, "")}

    def field_of(self, key: str) -> tuple[str, str]:
        """The field where the error of an option belongs, and the rest of its key: `headers.X-A` has a rest."""
        head, _dot, rest = key.partition(".")
        if head == _PAGINATION and rest:
            return f"{self.side}_{_PAGINATION}_{rest}", ""
        return f"{self.side}_{head}", rest

    def conditions(self) -> Iterator[tuple[str, Condition]]:
        """Each field with the choices under which it applies."""
        for key in dict.fromkeys(key for keys in self.keys.values() for key in keys):
            kinds = tuple(str(kind) for kind, keys in self.keys.items() if key in keys)
            of_kind = {f"{self.side}_connection": kinds}
            if key != _PAGINATION:
                yield f"{self.side}_{key}", of_kind
                continue
            chooser = f"{self.side}_{_PAGINATION}_type"
            yield chooser, of_kind
            for parameter in dict.fromkeys(name for names in PAGINATION_KEYS.values() for name in names):
                types = tuple(name for name, names in PAGINATION_KEYS.items() if parameter in names)
                yield f"{self.side}_{_PAGINATION}_{parameter}", of_kind | {chooser: types}

    def unused(self, kind: str, pagination: str = "none") -> list[str]:
        """The fields that say nothing for a connection of this kind and this pagination."""
        chosen = {f"{self.side}_connection": kind, f"{self.side}_{_PAGINATION}_type": pagination or "none"}
        return [
            name
            for name, condition in self.conditions()
            if any(chosen[chooser] not in choices for chooser, choices in condition.items())
        ]


SOURCE_FIELDS = OptionFields("source", SOURCE_KEYS)
DESTINATION_FIELDS = OptionFields("destination", DESTINATION_KEYS)
