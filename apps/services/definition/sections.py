"""Sections of a service file beside connections and services, which other apps register."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from apps.services.definition.rows import Outcome


@dataclass(frozen=True)
class Section:
    """A mapping at the top of a file, whose entries are loaded before the services."""

    # Key of the section, such as `channels`.
    name: str
    # One entry in messages, such as "channel".
    entry: str
    # Creates or updates the entry of a name. Raises ValidationError by key.
    load: Callable[[str, Mapping[str, Any]], Outcome]
    # Every entry without its secrets, by name.
    export: Callable[[], Mapping[str, Any]]
    # Type of an entry for the JSON Schema.
    annotation: Callable[[], Any]


SECTIONS: dict[str, Section] = {}


def register_section(section: Section) -> None:
    """Called by an app when it is ready."""
    SECTIONS[section.name] = section
