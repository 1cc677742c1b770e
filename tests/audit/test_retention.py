# ruff: noqa: S608 - no value of a user is part of the queries
"""Retention of the audit log, and entries that outlive what they are about."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.alerts.models import Problem
from apps.alerts.problems.changes import set_state
from apps.alerts.problems.retention import prune_problems
from apps.audit import retention
from apps.audit.models import Action, AuditEvent
from apps.audit.trail import KINDS, Filters, read_page
from apps.runs.models import HousekeepingJob, PayloadRead, Run
from apps.runs.recovery.retention import prune_logs
from apps.runs.tasks import prune_audit_log
from tests.factories import make_payload, make_problem, make_run, make_service, make_user

pytestmark = pytest.mark.django_db
MONTH = timedelta(days=30)


def test_old_entries_are_deleted_in_batches(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    monkeypatch.setattr(retention, "ROWS_AT_ONCE", 2)
    settings.AUDIT_RETENTION = MONTH
    user, now = make_user(), timezone.now()
    for days in (29, 31, 32, 33, 34, 35):
        AuditEvent.objects.create(action=Action.LOGIN, occurred_at=now - timedelta(days=days))
        LogEntry.objects.log_actions(user.pk, [user], CHANGE, single_object=True)
        LogEntry.objects.filter(pk=LogEntry.objects.latest("pk").pk).update(
            action_time=now - timedelta(days=days)
        )

    prune_audit_log()

    assert (AuditEvent.objects.count(), LogEntry.objects.count()) == (1, 1)
    assert HousekeepingJob.objects.get(name="prune_audit_log").outcome["deleted"] == 10


def test_command_deletes_old_entries(capsys: pytest.CaptureFixture[str]) -> None:
    AuditEvent.objects.create(action=Action.LOGIN, occurred_at=timezone.now() - timedelta(days=366))

    call_command("prune_audit_log")

    assert capsys.readouterr().out == "1 entries deleted.\n"


def test_entries_outlive_run_payload_and_problem() -> None:
    admin, service = make_user("admin", is_superuser=True), make_service(slug="orders")
    began = timezone.now() - timedelta(days=31)
    run = make_run(service, status=Run.Status.QUEUED)
    run.request_cancel(admin)
    Run.objects.filter(pk=run.pk).update(started_at=began, finished_at=began)
    PayloadRead.objects.create(
        payload=make_payload(run, name="a.json", status="deleted", deleted_at=began),
        user=admin,
        token="ci",
        address="10.0.0.1",
    )
    problem = make_problem(service, last_seen_at=began)
    set_state(problem, Problem.State.RESOLVED, user=admin, now=timezone.now())
    before = [
        (entry.action, entry.object_name, entry.username, entry.occurred_at, entry.detail, entry.token)
        for entry in read_page(Filters(), admin, limit=10).entries
    ]

    prune_logs(MONTH)
    prune_problems(timezone.now() - MONTH)

    assert [model.objects.count() for model in (Run, PayloadRead, Problem)] == [0, 0, 0]
    after = [
        (entry.action, entry.object_name, entry.username, entry.occurred_at, entry.detail, entry.token)
        for entry in read_page(Filters(), admin, limit=10).entries
    ]
    assert after == before
    assert [action for action, *_rest in after] == [Action.RESOLVED, Action.READ, Action.CANCELLED]


# --- A hundred thousand entries ---

NUMBERS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000)"


def insert_many(user_id: int, type_id: int) -> None:
    is_sqlite = connection.vendor == "sqlite"
    moment = (
        "strftime('%Y-%m-%d %H:%M:%f', 'now', '-' || i || ' minutes') || '000'"
        if is_sqlite
        else "now() - i * interval '1 minute'"
    )
    with connection.cursor() as cursor:
        cursor.execute(
            f"{NUMBERS} INSERT INTO audit_auditevent (occurred_at, action, user_id, username, command, token,"
            " content_type_id, object_id, object_name, detail, changes, count)"
            f" SELECT {moment}, 'login', CASE WHEN i %% 1000 = 0 THEN %s END, '', '', '', %s,"
            " CAST(i %% 5000 AS TEXT), '', '', '[]', 1 FROM n",
            [user_id, type_id],
        )
        cursor.execute(
            f"{NUMBERS} INSERT INTO django_admin_log (action_time, user_id, content_type_id, object_id, object_repr,"
            f" action_flag, change_message) SELECT {moment}, %s, %s, CAST(i %% 5000 AS TEXT), '', 2, '' FROM n",
            [user_id, type_id],
        )
        cursor.execute("ANALYZE")


def test_each_page_of_many_entries_is_a_range_of_an_index() -> None:
    admin = make_user("admin", is_superuser=True)
    User.objects.bulk_create(User(username=f"user {number}") for number in range(2000))
    insert_many(admin.pk, ContentType.objects.get_for_model(User).pk)
    cases = {
        "all": Filters(),
        "user": Filters(user_id=admin.pk),
        "object": Filters(kind=KINDS["user"], object_ids=["17"]),
        "time": Filters(until=timezone.now() - timedelta(days=30)),
    }
    middle = read_page(cases["all"], admin, limit=50).entries[-1].position

    plans = {}
    for name, filters in cases.items():
        for is_backward in (False, True):
            with CaptureQueriesContext(connection) as queries:
                page = read_page(filters, admin, middle, is_backward=is_backward, limit=50)
            assert page.entries or name == "time"
            # Without the reads of payloads, whose table is empty.
            plans[name, is_backward] = "\n".join(
                plan(query["sql"]) for query in queries.captured_queries if "payloadread" not in query["sql"]
            )

    for name, text in plans.items():
        assert "Seq Scan on audit_auditevent" not in text, (name, text)
        assert "Seq Scan on django_admin_log" not in text, (name, text)
        assert "SCAN audit_auditevent" not in text, (name, text)
        assert "SCAN django_admin_log" not in text, (name, text)
        assert "TEMP B-TREE" not in text, (name, text)


def plan(query: str) -> str:
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN {'QUERY PLAN' if connection.vendor == 'sqlite' else ''} {query}")
        return "".join(f"{row[-1]}\n" for row in cursor.fetchall())
