"""Reference of all options, as the Markdown page of the handbook."""

from __future__ import annotations

from typing import Any, get_args

from annotated_types import Ge, Le
from pydantic.fields import FieldInfo

from apps.services.definition.connections import FileConnection, HttpConnection
from apps.services.definition.file_options import FileDestination, FileSource
from apps.services.definition.http_options import HttpDestination, HttpSource
from apps.services.definition.option_errors import fields_of, is_whole_number, nested_model, union_members
from apps.services.definition.option_types import JsonBody, Options
from apps.services.definition.sections import sections, service_parts
from apps.services.definition.services import IntegrationService, ReportedService

_INTRODUCTION = """\
# Options

Every option of connections, services, channels and alert rules, with its default.
"""
_MODELS: dict[str, type[Options]] = {
    "Connection of kind http": HttpConnection,
    "Connection of kind file": FileConnection,
    "Source of an HTTP connection": HttpSource,
    "Source of a file connection": FileSource,
    "Destination of an HTTP connection": HttpDestination,
    "Destination of a file connection": FileDestination,
    "Service": IntegrationService,
    "Service of kind reported": ReportedService,
}


def option_reference() -> str:
    """Markdown with one table for each group of options."""
    parts = [_INTRODUCTION]
    registered = [section.reference for section in sections().values()]
    registered += [part.reference for part in service_parts().values()]
    for title, model in (pair for models in (_MODELS, *registered) for pair in models.items()):
        rows = [row for name, info in model.model_fields.items() for row in _rows(name, info)]
        table = ["| option | value | default | meaning |", "|---|---|---|---|", *rows]
        parts.append("\n".join([f"## {title}", "", *table, ""]))
    return "\n".join(parts)


def _rows(name: str, info: FieldInfo) -> list[str]:
    """The row of an option; rows for the options that it consists of, for a union those of each member."""
    if (nested := nested_model(info)) is not None:
        return [_row(f"{name}.{key}", part) for key, part in fields_of(nested).items()]
    if not info.discriminator:
        return [_row(name, info)]
    members = union_members(info)
    rows = [
        f"| `{name}.type` | {', '.join(f'`{tag}`' for tag in members)} | `none` | {info.description or ''} |"
    ]
    for tag, member in members.items():
        rows += [
            _row(f"{name}.{key}", nested, suffix=f" ({tag})")
            for key, nested in sorted(
                member.model_fields.items(), key=lambda item: item[0].startswith(("secret", "passphrase"))
            )
            if key != "type"
        ]
    return list(dict.fromkeys(rows))


def _row(name: str, info: FieldInfo, suffix: str = "") -> str:
    title = str(info.title or "")
    text = info.description or title[:1].upper() + title[1:]
    # A default that depends on other options is part of the description.
    default = "" if "Default:" in text else "required" if info.is_required() else _default(info.default)
    return f"| `{name}`{suffix} | {_value(info)} | {default} | {text} |"


def _default(value: Any) -> str:
    if isinstance(value, bool):
        value = str(value).lower()
    return f"`{value}`" if value not in (None, "", {}, ()) else "empty"


def _value(info: FieldInfo) -> str:
    """Type and bounds as text."""
    alias: Any = info.annotation
    annotation: Any = getattr(alias, "__value__", alias)
    if (choices := get_args(annotation)) and all(isinstance(choice, str) for choice in choices):
        return ", ".join(f"`{choice}`" for choice in choices)
    bounds: list[Any] = [
        bound.ge if isinstance(bound, Ge) else bound.le
        for bound in info.metadata
        if isinstance(bound, Ge | Le)
    ]
    if bounds:
        kind = "whole number" if is_whole_number(info) else "number"
        return f"{kind} from {min(bounds):g} to {max(bounds):.0f}" if len(bounds) > 1 else kind
    if isinstance(info.default, dict) or "dict" in str(annotation):
        return "names and values"
    if isinstance(info.default, tuple) or "tuple" in str(annotation):
        return "list"
    if alias is JsonBody:
        return "JSON"
    if "Flag" in str(info.annotation):
        return "true or false"
    return "JMESPath" if "JMESPath" in str(info.annotation) else "text"
