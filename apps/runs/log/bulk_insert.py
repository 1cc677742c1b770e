"""Bulk insert of log lines and records, in the fastest way of each database."""

from __future__ import annotations

from django.db import IntegrityError, connection, transaction
from django.db.models import Model

from apps.runs.log.line_format import parse_lines, unescape
from apps.runs.log.record_file import RecordChunk
from apps.runs.models import AcceptedContent, LogEntry, Record

_LINE_COLUMNS = "run_id, sequence, logged_at, level, step, message"
_CONTENT_COLUMNS = "service_id, key, digest"
_RECORD_COLUMNS = "run_id, recorded_at, sequence, page, batch, outcome, step, key, message"
# Of several outcomes of a record the worst counts, see Record.
_WORSE_OUTCOME = """recorded_at = excluded.recorded_at, sequence = excluded.sequence, page = excluded.page,
    batch = excluded.batch, outcome = excluded.outcome, step = excluded.step, message = excluded.message
    WHERE excluded.outcome < {table}.outcome"""
_NEW_DIGEST = "digest = excluded.digest"


def write_lines(chunk: bytes) -> None:
    """Inserts the lines of a spool chunk within the caller's transaction.

    COPY takes the format of the spool unchanged; SQLite gets parsed lines with `executemany`.
    """
    table = _table(LogEntry)
    if connection.vendor == "postgresql":
        _copy(table, _LINE_COLUMNS, chunk)
    else:
        with connection.cursor() as cursor:
            cursor.executemany(
                f"INSERT INTO {table} ({_LINE_COLUMNS}) VALUES (%s, %s, %s, %s, %s, %s)",  # noqa: S608 - our own names
                list(parse_lines(chunk)),
            )


def write_records(records: RecordChunk) -> None:
    """Writes a chunk of a record file within the caller's transaction; it may be repeated."""
    if records.rows:
        _insert_outcomes(records.rows)
    if records.accepted_contents:
        _upsert(
            AcceptedContent,
            _CONTENT_COLUMNS,
            "service_id, key",
            records.accepted_contents,
            _NEW_DIGEST,
            "ctid DESC",
        )


def _insert_outcomes(rows: bytes) -> None:
    if connection.vendor == "postgresql":
        try:
            # Keys rarely repeat within a run, and COPY is twice as fast as an upsert.
            with transaction.atomic():
                _copy(_table(Record), _RECORD_COLUMNS, rows)
        except IntegrityError:
            pass
        else:
            return
    _upsert(Record, _RECORD_COLUMNS, "key, run_id", rows, _WORSE_OUTCOME, "outcome")


def _upsert(model: type[Model], columns: str, unique: str, rows: bytes, update: str, first: str) -> None:
    """Inserts rows in the format of COPY; `update` is the SQL for rows whose `unique` columns exist already.

    PostgreSQL updates a row once per statement: of several rows the first in the order `first` counts.
    """
    table = _table(model)
    conflict = f"ON CONFLICT ({unique}) DO UPDATE SET {update.format(table=table)}"
    with connection.cursor() as cursor:
        if connection.vendor != "postgresql":
            marks = ", ".join(["%s"] * len(columns.split(",")))
            cursor.executemany(
                f"INSERT INTO {table} ({columns}) VALUES ({marks}) {conflict}",  # noqa: S608 - our own names
                [[unescape(value) for value in row.split("\t")] for row in rows.decode().split("\n")[:-1]],
            )
            return
        cursor.execute(f"CREATE TEMPORARY TABLE chunk (LIKE {table}) ON COMMIT DROP")
        _copy("chunk", columns, rows)
        cursor.execute(
            f"INSERT INTO {table} ({columns}) SELECT DISTINCT ON ({unique}) {columns} FROM chunk "  # noqa: S608
            f"ORDER BY {unique}, {first} {conflict}"
        )
        cursor.execute("DROP TABLE chunk")


def _table(model: type[Model]) -> str:
    return connection.ops.quote_name(model._meta.db_table)


def _copy(table: str, columns: str, data: bytes) -> None:
    with (
        connection.wrap_database_errors,
        connection.cursor() as cursor,
        cursor.copy(f"COPY {table} ({columns}) FROM STDIN") as copy,
    ):
        copy.write(data)
