"""Bulk insert of log lines and records, in the fastest way of each database."""

from __future__ import annotations

from itertools import batched

from django.db import IntegrityError, connection, transaction
from django.db.models import Model

from apps.runs.log.line_format import parse_lines, unescape
from apps.runs.log.occurrences import add_occurrences
from apps.runs.log.record_file import RecordChunk
from apps.runs.models import AcceptedContent, LogEntry, Record

# Rows in one statement on SQLite, which has at most 32,766 parameters.
_ROWS_AT_ONCE = 250
_LINE_COLUMNS = "run_id, sequence, logged_at, level, step, message"
_CONTENT_COLUMNS = "service_id, key, digest"
_RECORD_COLUMNS = "run_id, recorded_at, sequence, page, batch, outcome, step, key, message"
# Of several outcomes of a record the worst counts, see Record.
_WORSE_OUTCOME = """recorded_at = excluded.recorded_at, sequence = excluded.sequence, page = excluded.page,
    batch = excluded.batch, outcome = excluded.outcome, step = excluded.step, message = excluded.message
    WHERE excluded.outcome < {table}.outcome"""
_NEW_DIGEST = "digest = excluded.digest"


def write_lines(chunk: bytes) -> None:
    """Inserts the lines of a spool chunk, and counts their problems, within the caller's transaction.

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
    add_occurrences(chunk)


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
    if connection.vendor != "postgresql":
        _insert_many(f"INSERT INTO {table} ({columns}) VALUES", columns.count(",") + 1, conflict, rows)
        return
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE TEMPORARY TABLE chunk (LIKE {table}) ON COMMIT DROP")
        _copy("chunk", columns, rows)
        cursor.execute(
            f"INSERT INTO {table} ({columns}) SELECT DISTINCT ON ({unique}) {columns} FROM chunk "  # noqa: S608
            f"ORDER BY {unique}, {first} {conflict}"
        )
        cursor.execute("DROP TABLE chunk")


def _insert_many(insert: str, width: int, conflict: str, rows: bytes) -> None:
    """Inserts rows in the format of COPY on SQLite, many per statement.

    With `executemany`, SQLite would wait for the interpreter after each row while another thread is busy.
    """
    values = rows[:-1].replace(b"\n", b"\t").decode().split("\t")
    if b"\\" in rows:
        values = list(map(unescape, values))
    placeholders = f"({', '.join('?' * width)})"
    with connection.wrap_database_errors:
        for part in batched(values, _ROWS_AT_ONCE * width):
            # Not by a cursor of Django, which would translate thousands of placeholders.
            connection.connection.execute(
                f"{insert} {', '.join([placeholders] * (len(part) // width))} {conflict}", part
            )


def _table(model: type[Model]) -> str:
    return connection.ops.quote_name(model._meta.db_table)


def _copy(table: str, columns: str, data: bytes) -> None:
    with (
        connection.wrap_database_errors,
        connection.cursor() as cursor,
        cursor.copy(f"COPY {table} ({columns}) FROM STDIN") as copy,
    ):
        copy.write(data)
