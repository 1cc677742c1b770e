"""One factory function per model: creates a valid row; a test passes the fields that matter to it."""

import hashlib
import itertools
import uuid
from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth.models import Group, Permission, User
from django.core.files.base import ContentFile
from django.core.files.storage import storages
from django.utils import timezone

from apps.alerts.models import Channel, Incident, Problem, Rule
from apps.api.models import ApiToken
from apps.runs.log.fingerprint import fingerprint
from apps.runs.models import Level, LogEntry, Payload, Record, Run, RunProblem, Step
from apps.services.models import Connection, Service

_numbers = itertools.count(1)


def make_user(
    username: str = "",
    *,
    permissions: Iterable[str] = (),
    groups: Iterable[Group] = (),
    password: str = "",
    is_staff: bool = True,
    **fields: Any,
) -> User:
    """Creates a staff user; `permissions` as in "runs.start_run"."""
    username = username or f"user-{next(_numbers)}"
    user = User.objects.create_user(username, password=password or None, is_staff=is_staff, **fields)
    for permission in permissions:
        app, codename = permission.split(".")
        user.user_permissions.add(Permission.objects.get(content_type__app_label=app, codename=codename))
    user.groups.add(*groups)
    return user


def make_connection(**fields: Any) -> Connection:
    """Creates an HTTP connection to a closed port."""
    defaults = {"name": f"connection-{next(_numbers)}", "kind": "http", "url": "http://127.0.0.1:9"}
    secret = fields.pop("secret", "")
    connection = Connection(**defaults | fields)
    connection.set_secret(secret)
    connection.save()
    return connection


def make_channel(**fields: Any) -> Channel:
    """Creates an email channel with one address."""
    defaults = {"name": f"channel-{next(_numbers)}", "kind": "email"}
    secret = fields.pop("secret", "")
    channel = Channel(**defaults | fields)
    if channel.kind == Channel.Kind.EMAIL and not channel.to:
        channel.to = ["ops@example.com"]
    channel.set_secret(secret)
    channel.save()
    return channel


def make_rule(
    *services: Service,
    events: Iterable[str] = ("failed", "recovered"),
    channels: Iterable[Channel] = (),
    **fields: Any,
) -> Rule:
    """Creates a rule for the services, without services for all; without `channels` it has a channel of its own."""
    rule = Rule.objects.create(**{"name": f"Rule {next(_numbers)}", "events": list(events)} | fields)
    rule.set_services(services)
    rule.channels.set(channels or [make_channel()])
    return rule


def make_incident(service: Service | None, **fields: Any) -> Incident:
    """Creates an open incident, without a service one of the system."""
    now = fields.get("opened_at") or timezone.now()
    times = {"since": now, "opened_at": now, "last_event_at": now, "changed_at": now}
    return Incident.objects.create(service=service, **{"kind": Incident.Kind.FAILED} | times | fields)


def make_service(*, script: str = "", groups: Iterable[Group] = (), **fields: Any) -> Service:
    """Creates a service from one HTTP connection to another, without a schedule."""
    number = next(_numbers)
    fields = {"slug": f"service-{number}", "name": f"Service {number}"} | fields
    for end in ("source_connection", "destination_connection"):
        if end not in fields:
            fields[end] = make_connection()
    fields.setdefault("source_options", {"path": "/records"})
    fields.setdefault("destination_options", {"path": "/records"})
    service = Service.objects.create(**fields)
    service.groups.add(*groups)
    if script:
        service.set_script(script)
    return service


def make_run(service: Service | None = None, **fields: Any) -> Run:
    """Creates a succeeded run that started a minute ago; another `status` gets matching times and lease."""
    now = timezone.now()
    status = fields.setdefault("status", Run.Status.SUCCEEDED)
    if status != Run.Status.QUEUED:
        fields.setdefault("started_at", now - timedelta(minutes=1))
    if status == Run.Status.RUNNING:
        fields = {
            "lease_token": uuid.uuid4(),
            "lease_until": now + timedelta(minutes=1),
            "worker": "test",
        } | fields
    elif status != Run.Status.QUEUED:
        fields = {"finished_at": now, "is_complete": True} | fields
    fields.setdefault("trigger", Run.Trigger.MANUAL)
    return Run.objects.create(service=service or make_service(), **fields)


def make_log_entries(
    run: Run,
    messages: Iterable[str] | int = 3,
    *,
    level: Level = Level.INFO,
    step: Step = Step.PULL,
    logged_at: datetime | None = None,
) -> list[LogEntry]:
    """Appends lines to the log, a millisecond apart, and updates the run's counts. `messages` may be a line count."""
    if isinstance(messages, int):
        messages = [f"Line {number}" for number in range(1, messages + 1)]
    first = run.line_count + 1
    began = logged_at or run.started_at or timezone.now()
    entries = LogEntry.objects.bulk_create(
        LogEntry(
            run=run,
            sequence=sequence,
            logged_at=began + timedelta(milliseconds=sequence),
            level=level,
            step=step,
            message=message,
        )
        for sequence, message in enumerate(messages, first)
    )
    run.line_count += len(entries)
    run.warning_count += len(entries) * (level == Level.WARNING)
    run.error_count += len(entries) * (level == Level.ERROR)
    run.save(update_fields=["line_count", "warning_count", "error_count"])
    return entries


def make_record(run: Run | None = None, **fields: Any) -> Record:
    """Creates a pushed record of the first batch of a run, which is then known to have records."""
    run = run or make_run()
    defaults = {
        "key": str(next(_numbers)),
        "outcome": Record.Outcome.PUSHED,
        "step": Step.PUSH,
        "sequence": 1,
        "page": 1,
        "batch": 1,
        "recorded_at": run.finished_at or timezone.now(),
    }
    if not run.has_records:
        run.has_records = True
        run.save(update_fields=["has_records"])
    return Record.objects.create(run=run, **defaults | fields)


def make_run_problem(
    run: Run | None = None, message: str = "Customer 17 has no address", **fields: Any
) -> RunProblem:
    """Creates the occurrence of a problem: one error in the first line of a run."""
    run = run or make_run()
    moment = run.started_at or timezone.now()
    defaults = {
        "fingerprint": fingerprint(message),
        "level": Level.ERROR,
        "count": 1,
        "first_sequence": 1,
        "last_sequence": 1,
        "first_at": moment,
        "last_at": moment,
    }
    return RunProblem.objects.create(run=run, service=run.service, message=message, **defaults | fields)


def make_problem(
    service: Service | None = None, title: str = "Customer 17 has no address", **fields: Any
) -> Problem:
    """Creates an open problem that occurred a minute ago, once; its occurrences are rows of their own."""
    moment = timezone.now() - timedelta(minutes=1)
    defaults = {
        "fingerprint": fingerprint(title),
        "level": Level.ERROR,
        "first_seen_at": moment,
        "last_seen_at": moment,
    }
    return Problem.objects.create(service=service or make_service(), title=title, **defaults | fields)


def make_payload(run: Run | None = None, body: bytes | None = b'[{"id": 1}]', **fields: Any) -> Payload:
    """Creates a stored payload and its object; with `body=None` the object is missing."""
    run = run or make_run(store_pull=True)
    identifier = uuid.uuid4()
    defaults = {
        "id": identifier,
        "kind": Payload.Kind.PULL,
        "name": "page-1.json",
        "content_type": "application/json",
        "key": f"payloads/{timezone.now():%Y/%m/%d}/{run.pk}/{identifier}",
        "status": Payload.Status.STORED,
        "size": len(body or b""),
        "sha256": hashlib.sha256(body or b"").hexdigest(),
        "expires_at": run.finished_at and run.finished_at + settings.PAYLOAD_RETENTION,
    }
    payload = Payload.objects.create(run=run, service=run.service, **defaults | fields)
    if body is not None:
        storages["payloads"].save(payload.key, ContentFile(body))
    return payload


def make_token(
    user: User | None = None,
    *,
    scopes: Collection[str] = tuple(ApiToken.Scope.values),
    services: Iterable[Service] = (),
    expires_at: datetime | None = None,
    name: str = "test",
) -> tuple[ApiToken, str]:
    """Creates a token with all scopes and returns it with its plain text; without `user` its owner is a superuser."""
    user = user or make_user(is_superuser=True)
    expires_at = expires_at or timezone.now() + timedelta(days=90)
    token, secret = ApiToken.issue(user=user, name=name, scopes=list(scopes), expires_at=expires_at)
    token.services.set(services)
    return token, secret
