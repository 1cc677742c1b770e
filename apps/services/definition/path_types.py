"""Types of paths below the address of a connection, and their validation."""

from __future__ import annotations

import re
from typing import Annotated
from urllib.parse import unquote

from django.utils.translation import gettext as _
from pydantic import AfterValidator

from apps.services.definition import placeholders
from apps.services.definition.option_types import FIELD_PLACEHOLDER, Text

_PLACEHOLDER = re.compile(r"\{[^{}]*\}?|\}")


def _check_path(value: str) -> str:
    """A path below the address of the connection, which no part of it may leave."""
    if ".." in re.split(r"[/\\?#]", _unquote_fully(value)):
        raise ValueError(_("“..” would leave the connection's address; write the path below it."))
    if "://" in value.split("?", 1)[0] or "::" in value:
        raise ValueError(_("An address is not allowed; write the path below the connection's address."))
    if "\\" in value:
        raise ValueError(_("A backslash is not allowed; separate folders with /."))
    return value


def _check_http_path(value: str) -> str:
    return _check_placeholders(_check_url_path(value), tuple(f"{{{name}}}" for name in placeholders.NAMES))


def _check_url_path(value: str) -> str:
    if "#" in value or " " in value:
        raise ValueError(_("# and spaces are not allowed; write %23 and %20."))
    return value


def _check_record_path(value: str) -> str:
    if "{key}" not in value:
        raise ValueError(
            _("{key} is missing; write it where the key of the record belongs, as in /orders/{key}.")
        )
    return _check_placeholders(_check_url_path(value), ("{key}",))


def _check_fields_path(value: str) -> str:
    for placeholder in _PLACEHOLDER.findall(_check_url_path(value)):
        if not FIELD_PLACEHOLDER.fullmatch(placeholder):
            raise ValueError(
                _(
                    "Invalid placeholder “%(name)s”; write the name of a field of the record, as in /items/{id}."
                )
                % {"name": placeholder}
            )
    return value


def fields_in(path: str) -> list[str]:
    """The names of the fields in the placeholders of `path`."""
    return [placeholder[1:-1] for placeholder in dict.fromkeys(_PLACEHOLDER.findall(path))]


def _check_file_path(value: str) -> str:
    if value.startswith(("/", "~")):
        raise ValueError(_("A leading / or ~ is not allowed; write the path below the connection's folder."))
    return value


def _check_source_file(value: str) -> str:
    return _check_placeholders(value, ())


def _check_destination_file(value: str) -> str:
    if any(character in value for character in "*?["):
        raise ValueError(_("Wildcards are not allowed in the name of a file to write; remove *, ? and [."))
    if value.endswith("/"):
        raise ValueError(_("This is a folder; add a file name such as {run}.json."))
    return _check_placeholders(value, ("{run}", "{page}"))


def _check_move_target(value: str) -> str:
    """The folder without its trailing slash."""
    if any(character in value for character in "*?["):
        raise ValueError(_("Wildcards are not allowed in the name of a folder; remove *, ? and [."))
    return "/".join(part for part in _check_placeholders(value, ()).split("/") if part not in ("", "."))


def _check_placeholders(value: str, allowed: tuple[str, ...]) -> str:
    for placeholder in _PLACEHOLDER.findall(value):
        if placeholder not in allowed:
            message = (
                _("Unknown placeholder “%(name)s”. Allowed: %(names)s.")
                if allowed
                else _("“%(name)s” is not allowed; write %%7B and %%7D for braces.")
            )
            raise ValueError(message % {"name": placeholder, "names": ", ".join(allowed)})
    return value


def _unquote_fully(value: str) -> str:
    """`value` without percent escapes, also those that were escaped twice."""
    while (plain := unquote(value)) != value:
        value = plain
    return value


type HttpPath = Annotated[Text, AfterValidator(_check_path), AfterValidator(_check_http_path)]
type FieldsPath = Annotated[Text, AfterValidator(_check_path), AfterValidator(_check_fields_path)]
type RecordPath = Annotated[Text, AfterValidator(_check_path), AfterValidator(_check_record_path)]
type _FilePath = Annotated[Text, AfterValidator(_check_path), AfterValidator(_check_file_path)]
type SourceFile = Annotated[_FilePath, AfterValidator(_check_source_file)]
type DestinationFile = Annotated[_FilePath, AfterValidator(_check_destination_file)]
type MoveTarget = Annotated[_FilePath, AfterValidator(_check_move_target)]
