"""Export of services and their connections as YAML, which `load_services` imports unchanged."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from django.db.models import Exists, OuterRef, QuerySet, Subquery
from pydantic.fields import FieldInfo

from apps.audit.masking import MASK
from apps.services.definition.connections import CONNECTIONS, KEY_OF_FIELD
from apps.services.definition.option_errors import fields_of, nested_model, union_members
from apps.services.definition.option_types import Options
from apps.services.definition.options import DESTINATIONS, SOURCES
from apps.services.definition.sections import OmittedSecrets, sections, service_parts
from apps.services.definition.services import SERVICES, ServiceBase
from apps.services.definition.yaml_text import yaml_text
from apps.services.models import Connection, Script, Service

_COLUMN_OF_KEY = {key: column for column, key in KEY_OF_FIELD.items()}
_SECRETS = ("secret", "passphrase", "refresh_token")
_SIDES: tuple[tuple[str, Mapping[str, type[Options]]], ...] = (
    ("source", SOURCES),
    ("destination", DESTINATIONS),
)
_INTRODUCTION = "# Load this file with: ./manage.py load_services FILE.yaml"
_VARIABLES = "# Set these environment variables for the workers:"
_MISSING_SECRETS = """\
# Secrets that are stored in the console are not part of this file. Loading keeps those that are stored already.
# To load the file elsewhere, name the environment variables that contain them:"""
_MASKED = f"""\
# Secrets in these URLs are masked. Loading keeps those that are stored already; elsewhere, replace {MASK}:"""
_GROUPS = """\
# Groups are not part of this file. Until you choose them, everybody who may view services sees these:"""


def export_services(services: QuerySet[Service], *, with_sections: bool = False) -> str:
    """YAML text with `services` and the connections that they use, without secrets.

    Comments at the top list the secrets that must be set. With `with_sections`, other sections follow the connections.
    """
    scripts = Script.objects.filter(service=OuterRef("pk")).order_by("-version")
    groups = Service.groups.through.objects.filter(service_id=OuterRef("pk"))
    rows: list[Any] = list(
        services.select_related("source_connection", "destination_connection")
        .annotate(script_source=Subquery(scripts.values("source")[:1]), has_groups=Exists(groups))
        .order_by("slug")
    )
    used = {
        connection.name: connection
        for row in rows
        for connection in (row.source_connection, row.destination_connection)
        if connection is not None
    }
    connections = [used[name] for name in sorted(used)]
    restricted = _list(_GROUPS, (row.slug for row in rows if row.has_groups))
    others = [*sections().values()] if with_sections else []
    omitted = [_omitted_secrets(connections), *(section.omitted_secrets() for section in others)]
    parts = ["\n#\n".join([_INTRODUCTION, *_secret_comments(omitted), *restricted]) + "\n"]
    if connections:
        parts.append(yaml_text({"connections": {row.name: _connection(row) for row in connections}}))
    exported = {section.name: section.export() for section in others}
    parts += [
        yaml_text({name: entries_by_name}) for name, entries_by_name in exported.items() if entries_by_name
    ]
    entries = {row.pk: _service(row, row.script_source or "") for row in rows}
    for part in service_parts().values():
        for pk, value in part.export(rows).items():
            entries[pk][part.name] = value
    parts.append(yaml_text({"services": {row.slug: entries[row.pk] for row in rows}}))
    return "\n".join(parts)


def _connection(connection: Connection) -> dict[str, Any]:
    fields = CONNECTIONS[connection.kind].model_fields
    data: dict[str, Any] = {"kind": connection.kind}
    for key in sorted(fields, key=lambda key: not fields[key].is_required()):
        if key not in ("kind", "auth"):
            _set(data, key, _stored(connection, key), fields[key])
    auth: dict[str, Any] = {"type": connection.auth}
    for key, info in _auth_fields(connection).items():
        if key != "type" and key not in _SECRETS:
            _set(auth, key, _stored(connection, f"auth.{key}"), info)
    return data if connection.auth == Connection.Auth.NONE else {**data, "auth": auth}


def _auth_fields(connection: Connection) -> dict[str, FieldInfo]:
    """The options of the connection's authentication."""
    members = union_members(CONNECTIONS[connection.kind].model_fields["auth"])
    fields = dict(members[connection.auth].model_fields)
    if connection.auth_grant != Connection.Grant.REFRESH_TOKEN:
        for key in ("refresh_token", "refresh_token_env"):
            fields.pop(key, None)
    return fields


def _stored(connection: Connection, key: str) -> Any:
    value = getattr(connection, _COLUMN_OF_KEY.get(key, key))
    # Timeouts: 7 instead of 7.0.
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _service(service: Service, script: str) -> dict[str, Any]:
    model = SERVICES[service.kind]
    fields = dict(model.model_fields)
    data: dict[str, Any] = {"kind": service.kind} if service.kind != Service.Kind.INTEGRATION else {}
    data["name"] = service.name
    for side, models in _SIDES:
        connection = getattr(service, f"{side}_connection")
        if side in fields and connection is not None:
            options = _in_order(getattr(service, f"{side}_options"), models[connection.kind])
            data[side] = {"connection": connection.name, **options}
        if side == "source" and script:
            data["script"] = script
    # The options of all services come last.
    for key in sorted(fields, key=ServiceBase.model_fields.__contains__):
        if key not in data and key not in ("kind", "script", "is_active"):
            _set(data, key, getattr(service, key), fields[key])
    if not service.is_active:
        data["is_active"] = False
    return data


def _set(data: dict[str, Any], key: str, value: Any, info: FieldInfo) -> None:
    if info.is_required() or value != info.default:
        data[key] = value


def _in_order(options: Mapping[str, Any], model: type[Options]) -> dict[str, Any]:
    """`options` in the order of their definition; some databases store them in another one."""
    fields = fields_of(model)
    names = [*(("type",) if "type" in fields else ()), *fields]
    ordered = {}
    for key in sorted(options, key=lambda key: names.index(key) if key in names else len(names)):
        value, info = options[key], fields.get(key)
        part = nested_model(info)
        if info is not None and info.discriminator and isinstance(value, Mapping):
            part = union_members(info).get(str(value.get(str(info.discriminator), "none")))
        if key in ("params", "headers") and isinstance(value, Mapping):
            # Sent as text; from a file, numbers are read as text.
            value = {name: str(part) if _is_number(part) else part for name, part in value.items()}
        ordered[key] = _in_order(value, part) if part is not None and isinstance(value, Mapping) else value
    return ordered


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _secret_comments(omitted: Iterable[OmittedSecrets]) -> list[str]:
    variables, stored, masked = (
        [line for each in omitted for line in getattr(each, name)]
        for name in ("variables", "stored", "masked")
    )
    return [*_list(_VARIABLES, variables), *_list(_MISSING_SECRETS, stored), *_list(_MASKED, masked)]


def _omitted_secrets(connections: Iterable[Connection]) -> OmittedSecrets:
    variables, missing = [], []
    for connection in connections:
        fields = _auth_fields(connection)
        for secret in (name for name in _SECRETS if name in fields):
            if variable := getattr(connection, f"{secret}_env"):
                variables.append(
                    f"{variable}: {secret.replace('_', ' ')} of the connection {connection.name}"
                )
            elif getattr(connection, f"{secret}_encrypted") or _is_required(secret, connection):
                missing.append(f"connections.{connection.name}.auth.{secret}_env")
    return OmittedSecrets(variables, missing)


def _is_required(secret: str, connection: Connection) -> bool:
    has_refresh_token = connection.auth_grant == Connection.Grant.REFRESH_TOKEN
    return secret == ("refresh_token" if has_refresh_token else "secret")


def _list(heading: str, items: Iterable[str]) -> list[str]:
    """A comment with the items, no comment if there are none."""
    lines = [f"#   {item}" for item in items]
    return ["\n".join([heading, *lines])] if lines else []
