"""Loading of connections and services from YAML: all or nothing, with the line of every error."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.db import transaction
from django.db.models import Model
from django.utils import timezone

from apps.audit.changes import Values, field_values
from apps.audit.recording import record_command_change
from apps.services.definition.connections import load_connection
from apps.services.definition.sections import sections, service_parts
from apps.services.definition.services import load_service
from apps.services.definition.yaml_document import KeyPath, Problem, YamlDocument
from apps.services.models import Connection, Service


@dataclass(frozen=True)
class LoadResult:
    """Entries by outcome, as "connection shop" or "service orders-to-warehouse"."""

    created: tuple[str, ...] = ()
    updated: tuple[str, ...] = ()
    unchanged: tuple[str, ...] = ()


class LoadError(Exception):
    """The file was not loaded. `problems` are in the order of their lines."""

    def __init__(self, problems: list[Problem], filename: str = "") -> None:
        self.problems = tuple(sorted(problems, key=lambda problem: problem.line))
        self.filename = filename
        prefix = f"{filename}, " if filename else ""
        super().__init__("\n".join(f"{prefix}{problem}" for problem in self.problems))

    @property
    def line(self) -> int:
        return self.problems[0].line

    @property
    def key(self) -> str:
        return self.problems[0].key

    @property
    def reason(self) -> str:
        return self.problems[0].reason


type Find = Callable[[str], Model | None]


def load_services(text: str, *, filename: str = "") -> LoadResult:
    """Creates or updates the entries of all sections in `text`. Raises LoadError and then changes nothing."""
    document = YamlDocument(text)
    loading = _Loading(document, timezone.now())
    with transaction.atomic():
        if not document.problems:
            loading.load()
        if document.problems:
            raise LoadError(document.problems, filename)
    return LoadResult(**{outcome: tuple(names) for outcome, names in loading.outcomes.items()})


@dataclass
class _Loading:
    """Loading of one document, in a transaction that is rolled back if there are problems."""

    document: YamlDocument
    now: datetime
    outcomes: dict[str, list[str]] = field(
        default_factory=lambda: {"created": [], "updated": [], "unchanged": []}
    )

    def load(self) -> None:
        root = self.document.value
        if not isinstance(root, Mapping) or not root:
            self.document.note((), "Empty file; write “connections:” and “services:”.")
            return
        known = ("connections", *sections(), "services")
        for section in root:
            if section not in known:
                self.document.note((section,), f"Unknown section. Allowed: {', '.join(known)}.")
        for name, data in self._entries(root, "connections"):
            self._load_entry(
                ("connections", name), f"connection {name}", _find_connection, load_connection, data
            )
        self._load_sections(root, name_services=False)
        connections = {connection.name: connection for connection in Connection.objects.all()}
        for slug, data in self._entries(root, "services"):
            self._load_entry(
                ("services", slug),
                f"service {slug}",
                _find_service,
                load_service,
                data,
                connections,
                self.now,
            )

        self._load_sections(root, name_services=True)

    def _load_sections(self, root: Mapping[str, Any], *, name_services: bool) -> None:
        for key, section in sections().items():
            if section.names_services == name_services:
                for name, data in self._entries(root, key):
                    label = f"{section.entry} {name}"
                    self._load_entry((key, name), label, section.find, section.load, data)

    def _entries(self, root: Mapping[str, Any], section: str) -> list[tuple[str, Mapping[str, Any]]]:
        entries = root.get(section)
        if entries is None:
            return []
        if not isinstance(entries, Mapping):
            self.document.note((section,), "Not a mapping; write names with their settings.")
            return []
        for name, data in entries.items():
            if not isinstance(data, Mapping):
                self.document.note((section, name), "Not a mapping; write the settings as keys and values.")
        return [(name, data) for name, data in entries.items() if isinstance(data, Mapping)]

    def _load_entry(self, path: KeyPath, label: str, find: Find, load: Any, *arguments: Any) -> None:
        name = path[-1]
        row = find(name)
        before = _values(row) if row else None
        try:
            outcome = load(name, *arguments)
            self.outcomes[outcome].append(label)
            if outcome != "unchanged" and (row := find(name)):
                record_command_change("load_services", row, before, _values(row))
        except ValidationError as error:
            for key, reasons in error.message_dict.items():
                inner = () if key == NON_FIELD_ERRORS else tuple(key.split("."))
                for reason in reasons:
                    self.document.note((*path, *inner), reason)


def _find_connection(name: str) -> Connection | None:
    return Connection.objects.filter(name=name).first()


def _find_service(slug: str) -> Service | None:
    return Service.objects.filter(slug=slug).first()


def _values(row: Model) -> Values:
    """The values of a row for the audit log; those of a service include the parts that other apps define."""
    values = field_values(row)
    if isinstance(row, Service):
        for part in service_parts().values():
            values[part.name] = list(part.export([row]).get(row.pk, ()))
    return values
