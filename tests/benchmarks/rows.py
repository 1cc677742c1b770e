"""Many rows at once, made by the database itself."""

import json
from typing import Any

from django.contrib.auth.models import Group, Permission, User
from django.db import connection
from django.db.models import NOT_PROVIDED

from apps.runs.models import Run
from tests import factories

_NUMBERS = {
    "postgresql": "SELECT number FROM generate_series(1, %s) AS numbers(number)",
    "sqlite": (
        "WITH RECURSIVE numbers(number) AS"
        " (SELECT 1 UNION ALL SELECT number + 1 FROM numbers WHERE number < %s) SELECT number FROM numbers"
    ),
}


def make_reader() -> User:
    """A superuser, who sees everything and need not be asked for what."""
    return factories.make_user(is_superuser=True)


def make_staff() -> User:
    """One of support: who may see services, runs and payloads, as a member of a group."""
    group = Group.objects.create(name="Support")
    names = ("view_service", "view_run", "download_payload")
    group.permissions.set(Permission.objects.filter(codename__in=names))
    return factories.make_user(groups=[group])


def make_long_run(lines: int) -> Run:
    """A run that has ended, with a log of `lines` lines; one in 10,000 is an error, and each has its own text."""
    run = factories.make_run(line_count=lines)
    insert_lines(run, lines)
    clean_up("runs_logentry")
    return run


def insert_lines(run: Run, lines: int) -> None:
    """Give a run the lines 1 to `lines`."""
    now = "now()" if connection.vendor == "postgresql" else "datetime('now')"
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO runs_logentry (run_id, sequence, logged_at, level, step, message)"  # noqa: S608 - our words
            f" SELECT %s, number, {now}, CASE WHEN number %% 10000 = 0 THEN 40 ELSE 20 END, 2,"
            f" 'Pulled page ' || CAST(number AS text) || ': 100 records from https://shop.example/orders'"
            f" FROM ({_NUMBERS[connection.vendor]}) AS numbered",
            [run.pk, lines],
        )


def clean_up(table: str) -> None:
    """What autovacuum does within a minute of a change as large as ours."""
    with connection.cursor() as cursor:
        cursor.execute(f"VACUUM ANALYZE {table}" if connection.vendor == "postgresql" else "ANALYZE")


def insert_runs(count: int, *, services: int, seconds_apart: float, first_has_half: bool = False) -> None:
    """Runs of the first services by turns, the latest of them now; on PostgreSQL a million in some 10 s.

    With `first_has_half` every other run is of the first service.
    Foreign keys are not looked up, and the indexes are made afterwards, to save time.
    """
    turn = f"number %% {services}"
    if first_has_half:
        turn = f"CASE WHEN number %% 2 = 0 THEN 0 ELSE {turn} END"
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SET session_replication_role = replica")
            definitions = _drop_indexes(cursor)
            _insert_runs(cursor, count, turn, f"now() - number * interval '{seconds_apart} seconds'")
            cursor.execute("SET maintenance_work_mem = '512MB'")
            for definition in definitions:
                cursor.execute(definition)
            cursor.execute("RESET maintenance_work_mem")
            cursor.execute("RESET session_replication_role")
    else:
        with connection.cursor() as cursor:
            at = (
                f"strftime('%%Y-%%m-%%d %%H:%%M:%%f', 'now', '-' || (number * {seconds_apart}) || ' seconds')"
            )
            _insert_runs(cursor, count, turn, at)
    clean_up("runs_run")


def _insert_runs(cursor: Any, count: int, turn: str, at: str) -> None:
    columns = {
        "service_id": f"(SELECT min(id) FROM services_service) + {turn}",  # noqa: S608 - our words
        "status": "CASE WHEN number %% 50 = 0 THEN 'failed' ELSE 'succeeded' END",
        "trigger": "'schedule'",
        **dict.fromkeys(("queued_at", "sent_at", "started_at", "finished_at"), at),
        **dict.fromkeys(("pulled_count", "pushed_count"), "number %% 200"),
        "line_count": "12",
        "is_complete": "true",
        "worker": "'host:1'",
    }
    values = _defaults() | columns
    cursor.execute(
        f"INSERT INTO runs_run ({', '.join(values)}) SELECT {', '.join(values.values())}"  # noqa: S608 - our words
        f" FROM ({_NUMBERS[connection.vendor]}) AS numbered",
        [count],
    )


def _defaults() -> dict[str, str]:
    """What the model gives to the columns that may not be null and that the database gives nothing to."""
    run = Run()
    return {
        field.column: _literal(field.value_from_object(run))
        for field in Run._meta.concrete_fields
        if not field.null and not field.primary_key and field.db_default is NOT_PROVIDED
    }


def _literal(value: Any) -> str:
    match value:
        case bool() | int():
            return str(value).lower()
        case dict() | list():
            return f"'{json.dumps(value)}'"
    return f"'{value or ''}'"


def _drop_indexes(cursor: Any) -> list[str]:
    """Drop the indexes of the runs that no constraint needs; the statements that make them again."""
    cursor.execute(
        "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'runs_run'"
        " AND indexname NOT IN (SELECT conname FROM pg_constraint)"
    )
    indexes = cursor.fetchall()
    for name, _definition in indexes:
        cursor.execute(f'DROP INDEX "{name}"')
    return [definition for _name, definition in indexes]
