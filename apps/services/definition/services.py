"""Description of a service, as in a YAML file, and its row."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

from django.core.exceptions import ValidationError
from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _
from pydantic import AfterValidator, Field

from apps.services.definition.option_errors import choice_message, read_options
from apps.services.definition.option_types import Flag, Options, Text, WholeNumber
from apps.services.definition.options import read_destination, read_source
from apps.services.definition.rows import Outcome, assign, column, outcome_of, validate
from apps.services.definition.sections import service_parts
from apps.services.models import Connection, Service
from apps.services.sandbox.limits import ScriptError
from apps.services.sandbox.process import check_script

_SCHEDULE_FIELDS = {"schedule", "timezone", "is_active"}


def _check_script(source: str) -> str:
    try:
        check_script(source)
    except ScriptError as error:
        raise ValueError(str(error)) from None
    return source


class ServiceBase(Options):
    name: Text = Field("", title=_("Name"), description=_("Default: the slug, as in “Orders to warehouse”."))
    is_active: Flag | None = Field(
        None,
        title=_("Schedule on"),
        description=_("Turns the schedule on or off. Default: on for a new service, unchanged for others."),
    )
    log_retention_days: WholeNumber | None = column(Service, "log_retention_days")
    track_records: Flag = column(Service, "track_records")
    record_retention_days: WholeNumber | None = column(Service, "record_retention_days")


class IntegrationService(ServiceBase):
    """Service that Synclog runs."""

    kind: Literal["integration"] = "integration"
    source: dict[str, Any] = Field(title=_("Source"), description=_("Connection and its options."))
    destination: dict[str, Any] = Field(title=_("Destination"), description=_("Connection and its options."))
    script: Annotated[str, AfterValidator(_check_script)] = Field(
        "", title=_("Script"), description=_("Starlark with a function transform(records).")
    )
    schedule: Text = column(Service, "schedule")
    timezone: Text = column(Service, "timezone")
    overlap: Literal["skip", "queue", "allow"] = column(Service, "overlap")
    max_attempts: WholeNumber = column(Service, "max_attempts")
    timeout_seconds: WholeNumber = column(Service, "timeout_seconds")
    retry_limit: WholeNumber = column(Service, "retry_limit")
    pause_after_failures: WholeNumber = column(Service, "pause_after_failures")
    capture_on_failure: Flag = column(Service, "capture_on_failure")


class ReportedService(ServiceBase):
    """Service that runs elsewhere and reports its runs."""

    kind: Literal["reported"]


type ServiceDescription = IntegrationService | ReportedService
SERVICES: dict[str, type[ServiceDescription]] = {
    "integration": IntegrationService,
    "reported": ReportedService,
}


def load_service(
    slug: str, data: Mapping[str, Any], connections: Mapping[str, Connection], now: datetime
) -> Outcome:
    """Creates or updates the service `slug`. Raises ValidationError by key of `data`.

    A service without `script` has no script afterwards; without `is_active` it stays as it is, and so do the parts
    that other apps define.
    """
    service = Service.objects.filter(slug=slug).first() or Service(slug=slug)
    parts = {key: value for key, value in data.items() if key in service_parts() and value is not None}
    own = {key: value for key, value in data.items() if key not in service_parts()}
    description, sides = _read_service(own, connections)
    fields = description.model_dump(exclude={"name", "is_active", "script", "source", "destination"})
    fields["name"] = description.name or slug.replace("-", " ").capitalize()
    if description.is_active is not None:
        fields["is_active"] = description.is_active
    for side in ("source", "destination"):
        connection, options = sides.get(side, (None, {}))
        fields |= {f"{side}_connection": connection, f"{side}_options": options}
    script = description.script if isinstance(description, IntegrationService) else ""
    outcome = _save(service, fields, script, is_named=bool(description.name), now=now)
    has_changed = [_load_part(service, key, value) for key, value in parts.items()]
    return "updated" if outcome == "unchanged" and any(has_changed) else outcome


def _load_part(service: Service, key: str, value: Any) -> bool:
    try:
        return service_parts()[key].load(service, value)
    except ValidationError as error:
        errors = {f"{key}.{inner}".rstrip("."): reasons for inner, reasons in error.message_dict.items()}
        raise ValidationError(errors) from None


def _read_service(
    data: Mapping[str, Any], connections: Mapping[str, Connection]
) -> tuple[ServiceDescription, dict[str, tuple[Connection, dict[str, Any]]]]:
    """The description, and connection and options of each side. Raises ValidationError with all errors."""
    kind = data.get("kind") or "integration"
    if kind not in SERVICES:
        raise ValidationError({"kind": [choice_message(kind, SERVICES)]})
    errors: dict[str, list[str]] = {}
    description = None
    try:
        description = read_options(SERVICES[kind], data)
    except ValidationError as error:
        errors |= error.message_dict
    sides = {}
    if kind == "integration":
        for side, read in (("source", read_source), ("destination", read_destination)):
            if not isinstance(data.get(side), Mapping):
                continue
            try:
                sides[side] = _read_side(data[side], connections, read)
            except ValidationError as error:
                errors |= {f"{side}.{key}": reasons for key, reasons in error.message_dict.items()}
    if errors or description is None:
        raise ValidationError(errors)
    return description, sides


def _read_side(
    data: Mapping[str, Any], connections: Mapping[str, Connection], read: Any
) -> tuple[Connection, dict[str, Any]]:
    options = {key: value for key, value in data.items() if key != "connection"}
    connection = connections.get(str(data.get("connection")))
    if connection is None:
        message = gettext("Unknown connection “%(name)s”. Allowed: %(names)s.")
        names = ", ".join(sorted(connections)) or gettext("none")
        raise ValidationError(
            {"connection": [message % {"name": data.get("connection", ""), "names": names}]}
        )
    read(connection.kind, options, auth_header=connection.custom_header)
    return connection, options


def _save(
    service: Service, fields: Mapping[str, Any], script: str, *, is_named: bool, now: datetime
) -> Outcome:
    changed = assign(service, fields)
    outcome = outcome_of(service, changed=changed)
    validate(service, {"name": "name"} if is_named else {})
    if outcome == "created" or changed & _SCHEDULE_FIELDS:
        service.plan_next_run(now)
    if outcome != "unchanged":
        service.save()
    before = service.current_script()
    if service.set_script(script) != before and outcome == "unchanged":
        return "updated"
    return outcome
