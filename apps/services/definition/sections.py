"""Sections of a service file, and keys of a service, which other apps register."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from apps.services.definition.option_types import Options
from apps.services.definition.rows import Outcome
from apps.services.models import Service


@dataclass(frozen=True)
class OmittedSecrets:
    """Secrets that an export leaves out; each is a line of a comment at the top of the file."""

    # Environment variables that contain them, such as `PAGER_SECRET: secret of the channel pager`.
    variables: Sequence[str] = ()
    # Keys that would name a variable, such as `channels.pager.secret_env`, of secrets that are stored.
    stored: Sequence[str] = ()
    # Keys whose value is a URL with masked parameters, such as `channels.pager.url`.
    masked: Sequence[str] = ()


@dataclass(frozen=True)
class Section:
    """A mapping at the top of a file."""

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
    # Options by the title of their table in the handbook.
    reference: Mapping[str, type[Options]]
    # The secrets that `export` leaves out.
    omitted_secrets: Callable[[], OmittedSecrets] = OmittedSecrets
    # Whether its entries name services, and are loaded after them.
    names_services: bool = False


@dataclass(frozen=True)
class ServicePart:
    """A key of a service; without it, what it describes stays as it is."""

    # The key, such as `alerts`.
    name: str
    # Applies the value to the saved service and returns whether anything changed. Raises ValidationError by key.
    load: Callable[[Service, Any], bool]
    # The value of each service that has one, by the number of the service.
    export: Callable[[Iterable[Service]], Mapping[int, Any]]
    # Type of the value for the JSON Schema.
    annotation: Callable[[], Any]
    # Options by the title of their table in the handbook.
    reference: Mapping[str, type[Options]]


SECTIONS: dict[str, Section] = {}
SERVICE_PARTS: dict[str, ServicePart] = {}


def register_section(section: Section) -> None:
    """Called by an app when it is ready."""
    SECTIONS[section.name] = section


def register_service_part(part: ServicePart) -> None:
    """Called by an app when it is ready."""
    SERVICE_PARTS[part.name] = part
