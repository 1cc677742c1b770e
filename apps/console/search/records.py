"""Search for records by key: the latest outcome of each key, and in how many runs it was."""

from __future__ import annotations

from typing import Any

from apps.runs.models import Record
from apps.services.user_access import hidden_service_ids

# Runs of a key that are counted.
MAX_RUNS = 20
# Limits of the work for keys and rows that the user may not see.
_MAX_KEYS_READ = 200
_MAX_ROWS_READ = 5000

# Jumps from key to key in the primary key: DISTINCT would read every row of each key. Both databases compare keys by
# code point, so BETWEEN includes the keys that begin with a text.
_FIND = """
WITH RECURSIVE keys(key, place) AS (
    SELECT (SELECT key FROM runs_record WHERE key BETWEEN %(first)s AND %(last)s ORDER BY key LIMIT 1), 1
    UNION ALL
    SELECT (
        SELECT r.key FROM runs_record AS r WHERE r.key > keys.key AND r.key <= %(last)s ORDER BY r.key LIMIT 1
    ), place + 1
    FROM keys WHERE keys.key IS NOT NULL AND place < %(max_keys)s
),
latest(key, run_id) AS (
    SELECT key, ({visible_runs} LIMIT 1) FROM keys WHERE key IS NOT NULL
),
found(key, run_id) AS (SELECT key, run_id FROM latest WHERE run_id IS NOT NULL LIMIT %(limit)s)
SELECT
    record.*, service.id AS service_id, service.name AS service_name,
    (SELECT COUNT(*) FROM ({visible_runs} LIMIT %(max_runs)s) AS counted) AS run_count
FROM found AS keys
JOIN runs_record AS record ON record.key = keys.key AND record.run_id = keys.run_id
JOIN runs_run AS run ON run.id = keys.run_id
JOIN services_service AS service ON service.id = run.service_id
ORDER BY keys.key
"""
_VISIBLE_RUNS = """SELECT run_id FROM (
    SELECT run_id FROM runs_record AS r WHERE r.key = keys.key ORDER BY run_id DESC LIMIT %(max_rows)s
) AS runs {condition} ORDER BY run_id DESC"""
_LAST_CHARACTER = "\U0010ffff"


def find_records(user: Any, key: str, *, is_prefix: bool, limit: int) -> list[Any]:
    """The latest record of each key that `user` may see, with `service_id`, `service_name` and `run_count`.

    At most `limit` keys, in their order; `run_count` is at most MAX_RUNS + 1. One query.
    """
    if not key or not user.has_perm("services.view_service"):
        return []
    max_keys = _MAX_KEYS_READ if is_prefix else 1
    # These are numbers of our own database.
    hidden = ", ".join(map(str, sorted(hidden_service_ids(user))))
    condition = f"JOIN runs_run ON id = run_id WHERE service_id NOT IN ({hidden})" if hidden else ""
    visible_runs = _VISIBLE_RUNS.format(condition=condition)
    return list(
        Record.objects.raw(
            _FIND.format(visible_runs=visible_runs),
            {
                "first": key,
                "last": key + _LAST_CHARACTER if is_prefix else key,
                "max_keys": max_keys,
                "max_rows": _MAX_ROWS_READ // max_keys,
                "max_runs": MAX_RUNS + 1,
                "limit": limit,
            },
        )
    )
