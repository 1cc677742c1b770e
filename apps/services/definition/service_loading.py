"""One service from its description in YAML."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from apps.services.definition.loaded_rows import Outcome, assign, outcome_of, validate
from apps.services.definition.option_values import OptionValues
from apps.services.definition.options import destination_from, source_from
from apps.services.models import Connection, Service
from apps.services.sandbox import ScriptError, check_script

_KEYS = (
    "kind",
    "name",
    "source",
    "script",
    "destination",
    "schedule",
    "timezone",
    "max_attempts",
    "timeout_seconds",
    "is_active",
    "overlap",
    "retry_limit",
    "pause_after_failures",
    "capture_on_failure",
    "log_retention_days",
)
# What a service that runs elsewhere has not: nothing of it is done here.
_RUN_HERE = (
    "source",
    "script",
    "destination",
    "schedule",
    "overlap",
    "retry_limit",
    "pause_after_failures",
    "capture_on_failure",
)
_NO_END: tuple[int | None, dict[str, Any]] = (None, {})
_MOST_DAYS = 36_600
_SLOT_FIELDS = {"schedule", "timezone", "is_active"}


def service_from(
    slug: str, data: Mapping[str, Any], connections: Mapping[str, Connection], now: datetime
) -> Outcome:
    """Creates or updates the service `slug`. Raises ValidationError by key.

    A script that is not there is taken away, `is_active` that is not there is left as it is.
    """
    service = Service.objects.filter(slug=slug).first() or Service(slug=slug)
    values = OptionValues(data, _KEYS)
    kind = values.choice("kind", Service.Kind.values, Service.Kind.INTEGRATION)
    is_here = kind != Service.Kind.REPORTED
    if not is_here:
        _refuse_what_runs_here(values, data)
    source, source_options = _end(values, "source", connections, source_from) if is_here else _NO_END
    destination, destination_options = (
        _end(values, "destination", connections, destination_from) if is_here else _NO_END
    )
    script = _script(values, data.get("script"))
    fields = {
        "kind": kind,
        "name": values.text("name", slug.replace("-", " ").capitalize()),
        "source_connection_id": source,
        "source_options": source_options,
        "destination_connection_id": destination,
        "destination_options": destination_options,
        "schedule": values.text("schedule"),
        "timezone": values.text("timezone", "UTC"),
        "max_attempts": values.whole("max_attempts", 3, least=1, most=20),
        "timeout_seconds": values.whole("timeout_seconds", 3600, least=1, most=7 * 24 * 3600),
        "is_active": values.flag("is_active", default=service.is_active),
        **_policies(values, data),
    }
    values.raise_errors()
    return _save(service, fields, script, named="name" in data, now=now)


def _policies(values: OptionValues, data: Mapping[str, Any]) -> dict[str, Any]:
    """What is done about overlapping, failed and old runs."""
    days = values.whole("log_retention_days", 0, least=1, most=_MOST_DAYS)
    return {
        "overlap": values.choice("overlap", Service.Overlap.values, Service.Overlap.SKIP),
        "retry_limit": values.whole("retry_limit", 0, least=0, most=20),
        "pause_after_failures": values.whole("pause_after_failures", 0, least=0, most=1000),
        "capture_on_failure": values.flag("capture_on_failure", default=False),
        "log_retention_days": days or None,
    }


def _refuse_what_runs_here(values: OptionValues, data: Mapping[str, Any]) -> None:
    for key in _RUN_HERE:
        if data.get(key):
            values.refuse(key, _("A reported service runs elsewhere and has none; leave it out."))


def _save(service: Service, fields: Mapping[str, Any], script: str, *, named: bool, now: datetime) -> Outcome:
    changed = assign(service, fields)
    outcome = outcome_of(service, changed=changed)
    validate(service, {"name": "name"} if named else {})
    if outcome == "created" or changed & _SLOT_FIELDS:
        service.plan_next_run(now)
    if outcome != "unchanged":
        service.save()
    before = service.current_script()
    if service.set_script(script) != before and outcome == "unchanged":
        return "updated"
    return outcome


def _end(
    values: OptionValues, side: str, connections: Mapping[str, Connection], read: Callable[..., object]
) -> tuple[int | None, dict[str, Any]]:
    """The connection and the options of a service's source or destination."""
    data = values.mapping(side)
    if not data:
        if side not in values.errors:
            values.refuse(side, _("This is needed, with a connection and its options."))
        return None, {}
    options = {str(key): value for key, value in data.items() if key != "connection"}
    connection = connections.get(str(data.get("connection")))
    if connection is None:
        values.refuse(
            f"{side}.connection",
            _("“%(name)s” is no connection; known are %(known)s.")
            % {"name": data.get("connection", ""), "known": ", ".join(sorted(connections)) or _("none")},
        )
        return None, options
    auth_header = connection.auth_header if connection.auth == Connection.Auth.HEADER else ""
    try:
        read(connection.kind, options, auth_header=auth_header)
    except ValidationError as error:
        for key, reasons in error.message_dict.items():
            for reason in reasons:
                values.refuse(f"{side}.{key}", reason)
    return connection.pk, options


def _script(values: OptionValues, source: object) -> str:
    if source is None or source == "":
        return ""
    if not isinstance(source, str):
        values.refuse("script", _("Write the script as text, after “script: |”."))
        return ""
    try:
        check_script(source)
    except ScriptError as error:
        values.refuse("script", str(error))
    return source
