"""Connections and services from YAML: created or updated, all or nothing, every problem with its line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.db import transaction
from django.utils import timezone

from apps.services.definition.connection_loading import connection_from
from apps.services.definition.located_yaml import KeyPath, LocatedYaml, Problem
from apps.services.definition.service_loading import service_from
from apps.services.models import Connection

_SECTIONS = ("connections", "services")


@dataclass(frozen=True)
class LoadResult:
    """What came of each entry, as "connection shop" or "service orders-to-warehouse"."""

    created: tuple[str, ...] = ()
    updated: tuple[str, ...] = ()
    unchanged: tuple[str, ...] = ()


class LoadError(Exception):
    """The file cannot be loaded; nothing of it was. `problems` are in the order of their lines."""

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


def load_services(text: str, *, filename: str = "") -> LoadResult:
    """Makes the connections and services that `text` describes. Raises LoadError, and then changes nothing."""
    document = LocatedYaml(text)
    loading = _Loading(document, timezone.now())
    with transaction.atomic():
        if not document.problems:
            loading.load()
        if document.problems:
            raise LoadError(document.problems, filename)
    return LoadResult(**{outcome: tuple(names) for outcome, names in loading.outcomes.items()})


@dataclass
class _Loading:
    """One pass over a document, inside a transaction that is undone where the document holds problems."""

    document: LocatedYaml
    now: datetime
    outcomes: dict[str, list[str]] = field(
        default_factory=lambda: {"created": [], "updated": [], "unchanged": []}
    )

    def load(self) -> None:
        root = self.document.value
        if not isinstance(root, Mapping) or not root:
            self.document.note((), "The file describes nothing; write “connections:” and “services:”.")
            return
        for section in root:
            if section not in _SECTIONS:
                self.document.note((section,), f"There is no such section; known are {', '.join(_SECTIONS)}.")
        for name, data in self._entries(root, "connections"):
            self._load_entry(("connections", name), f"connection {name}", connection_from, name, data)
        connections = {connection.name: connection for connection in Connection.objects.all()}
        for slug, data in self._entries(root, "services"):
            self._load_entry(
                ("services", slug), f"service {slug}", service_from, slug, data, connections, self.now
            )

    def _entries(self, root: Mapping[str, Any], section: str) -> list[tuple[str, Mapping[str, Any]]]:
        entries = root.get(section)
        if entries is None:
            return []
        if not isinstance(entries, Mapping):
            self.document.note((section,), "Write names with what they stand for.")
            return []
        for name, data in entries.items():
            if not isinstance(data, Mapping):
                self.document.note((section, name), "Write the settings as keys and values.")
        return [(name, data) for name, data in entries.items() if isinstance(data, Mapping)]

    def _load_entry(self, path: KeyPath, label: str, load: Any, *arguments: Any) -> None:
        try:
            self.outcomes[load(*arguments)].append(label)
        except ValidationError as error:
            for key, reasons in error.message_dict.items():
                inner = () if key == NON_FIELD_ERRORS else tuple(key.split("."))
                for reason in reasons:
                    self.document.note((*path, *inner), reason)
