"""Sections of a service file, and keys of a service, which other apps register."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from django.utils.module_loading import import_string

from apps.services.models import Service

if TYPE_CHECKING:
    from django.db.models import Model

    # They import Pydantic, which most commands do not need.
    from apps.services.definition.option_types import Options
    from apps.services.definition.rows import Outcome


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
    # The entry of a name, None if there is none.
    find: Callable[[str], Model | None]
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


# Dotted paths, because most commands need none of these modules.
_SECTION_PATHS: list[str] = []
_SERVICE_PART_PATHS: list[str] = []


def register_section(path: str) -> None:
    """Called by an app when it is ready, with the dotted path of a Section."""
    _SECTION_PATHS.append(path)


def register_service_part(path: str) -> None:
    """Called by an app when it is ready, with the dotted path of a ServicePart."""
    _SERVICE_PART_PATHS.append(path)


@cache
def sections() -> dict[str, Section]:
    """The registered sections by name."""
    return {section.name: section for section in map(import_string, _SECTION_PATHS)}


@cache
def service_parts() -> dict[str, ServicePart]:
    """The registered keys of a service by name."""
    return {part.name: part for part in map(import_string, _SERVICE_PART_PATHS)}
