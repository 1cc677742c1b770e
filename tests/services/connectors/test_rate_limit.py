"""`requests_per_minute` of a connection: it limits all runs, threads and processes together."""

import os
import subprocess
import sys
import threading
import time
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from django.db import DatabaseError, connection

from apps.services.models import Connection, ConnectionState
from tests.factories import make_connection
from tests.migrated_database import copy_sqlite
from tests.services.transfers import connection_to, make_context, pull, push
from tests.services.web import Reply, reply_json, serving

ROOT = Path(__file__).resolve().parents[3]
ALL_RUNS = "allows 1200 requests per minute for all runs together"


class Times:
    """Responds and keeps the time of each request."""

    def __init__(self, reply=lambda: reply_json([])):
        self.reply = reply
        self.created_at = time.monotonic()
        self.times = []

    def __call__(self, request):
        self.times.append(time.monotonic())
        return self.reply()

    @property
    def span(self):
        """Seconds from its creation to the last request; a busy server notices the first one late."""
        return max(self.times) - self.created_at


@pytest.mark.django_db(transaction=True)
def test_reserved_moments_of_several_workers_are_evenly_spaced():
    limited = make_connection(requests_per_minute=60)
    waits = []

    def reserve():
        try:
            waits.extend(
                ConnectionState.objects.reserve_request(limited.pk, timedelta(seconds=10))
                for _number in range(5)
            )
        finally:
            connection.close()

    threads = [threading.Thread(target=reserve) for _number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(waits) == 20
    assert all(later - earlier >= timedelta(seconds=5) for earlier, later in pairwise(sorted(waits)))
    assert max(waits) > timedelta(seconds=180)


@pytest.mark.django_db
def test_requests_of_pull_and_push_share_the_limit(caplog):
    respond = Times()
    with serving(respond) as web:
        limited = make_connection(url=web.url, requests_per_minute=1200)
        with caplog.at_level("INFO"):
            pull(limited, {})
            push(limited, {"batch_size": 1}, [[{"id": number} for number in range(6)]])

    assert respond.span >= 6 * 0.05 - 0.02
    assert [record.levelname for record in caplog.records if ALL_RUNS in record.getMessage()] == ["INFO"]


@pytest.mark.django_db
def test_connection_without_limit_stores_no_state():
    with serving(Times()) as web:
        pull(make_connection(url=web.url), {})

    assert not ConnectionState.objects.exists()


@pytest.mark.django_db
def test_retries_and_redirects_count():
    replies = iter(
        [reply_json({}, 503, Retry_After="0"), Reply(302, b"", {"Location": "/again"}), reply_json([])]
    )
    respond = Times(lambda: next(replies))
    with serving(respond) as web:
        pull(make_connection(url=web.url, requests_per_minute=240), {}, make_context(max_attempts=2))

    assert len(respond.times) == 3
    assert respond.span >= 2 * 0.25 - 0.02


@pytest.mark.django_db
def test_stop_interrupts_the_wait():
    class Stopped(Exception):
        pass

    checks = []
    with serving(Times()) as web:
        limited = make_connection(url=web.url, requests_per_minute=1)
        pull(limited, {})
        stop_at = time.monotonic() + 0.5

        def check():
            checks.append(time.monotonic())
            if checks[-1] > stop_at:
                raise Stopped

        with pytest.raises(Stopped):
            pull(limited, {}, make_context(check=check))

    assert time.monotonic() - stop_at < 0.5
    assert len(web.requests) == 1


@pytest.mark.django_db
def test_run_keeps_the_interval_on_its_own_while_the_database_is_down(monkeypatch):
    def fail(*_arguments):
        raise DatabaseError("down")

    monkeypatch.setattr("apps.services.models.connection_state.ConnectionStateQuerySet.reserve_request", fail)
    respond = Times()
    with serving(respond) as web:
        push(
            make_connection(url=web.url, requests_per_minute=600),
            {"batch_size": 1},
            [[{"id": 1}, {"id": 2}, {"id": 3}]],
        )

    assert respond.span >= 2 * 0.1 - 0.02


def test_unsaved_connection_keeps_the_interval():
    respond = Times()
    with serving(respond) as web:
        push(
            connection_to(web.url, requests_per_minute=600),
            {"batch_size": 1},
            [[{"id": 1}, {"id": 2}]],
        )

    assert respond.span >= 0.1 - 0.02


@pytest.mark.django_db
@pytest.mark.parametrize("value", [0, -1])
def test_limit_of_zero_or_less_violates_a_constraint(value):
    with pytest.raises(DatabaseError):
        make_connection(requests_per_minute=value)


@pytest.mark.django_db
def test_state_is_deleted_with_its_connection():
    limited = make_connection(requests_per_minute=60)
    ConnectionState.objects.reserve_request(limited.pk, timedelta(seconds=1))

    Connection.objects.all().delete()

    assert not ConnectionState.objects.exists()


@pytest.mark.stack
def test_processes_of_the_embedded_mode_share_the_limit(tmp_path):
    environment = {"PATH": os.environ["PATH"], "SYNCLOG_DATA_DIR": str(tmp_path / "data")}
    respond = Times(lambda: reply_json([{"id": 1}]))
    with serving(respond) as web:
        (tmp_path / "services.yaml").write_text(
            f"connections: {{crm: {{kind: http, base_url: '{web.url}', requests_per_minute: 30}}}}\n"
            "services:\n"
            + "".join(
                f"  s{number}: {{source: {{connection: crm}}, destination: {{connection: crm, batch_size: 1}}}}\n"
                for number in range(2)
            )
        )

        def manage(*arguments):
            return subprocess.Popen(
                [sys.executable, "manage.py", *arguments],
                cwd=ROOT,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )

        (tmp_path / "data").mkdir()
        copy_sqlite(tmp_path / "data" / "synclog.sqlite3")
        loading = manage("load_services", str(tmp_path / "services.yaml"))
        output, _nothing = loading.communicate(timeout=120)
        assert loading.returncode == 0, output
        processes = [manage("sync", f"s{number}") for number in range(2)]
        outputs = [process.communicate(timeout=120)[0] for process in processes]

    assert [process.returncode for process in processes] == [0, 0], outputs
    assert len(respond.times) == 4
    # Two limits, each for one process, would leave a second at most.
    assert all(later - earlier > 1.1 for earlier, later in pairwise(sorted(respond.times)))
    assert "allows 30 requests per minute for all runs together" in "".join(outputs)
