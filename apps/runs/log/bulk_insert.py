"""Bulk insert of log lines, in the fastest way of each database."""

from __future__ import annotations

from django.db import connection

from apps.runs.log.spool import parse_lines
from apps.runs.models import LogEntry

_COLUMNS = "run_id, sequence, logged_at, level, step, message"


def write_lines(chunk: bytes) -> None:
    """Inserts the lines of a spool chunk within the caller's transaction.

    COPY takes the format of the spool unchanged; SQLite gets parsed lines with `executemany`.
    """
    table = connection.ops.quote_name(LogEntry._meta.db_table)
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            with cursor.copy(f"COPY {table} ({_COLUMNS}) FROM STDIN") as copy:
                copy.write(chunk)
        else:
            cursor.executemany(
                f"INSERT INTO {table} ({_COLUMNS}) VALUES (%s, %s, %s, %s, %s, %s)",  # noqa: S608 - our own names
                list(parse_lines(chunk)),
            )
