"""Size limit of the log: a log beyond its limit keeps head and tail, and counts the omitted lines."""

import errno
import logging
import os
from datetime import timedelta

import pytest
from django.db.models.functions import Now

from apps.runs.execution.finalization import end_run
from apps.runs.log.run_log import RunLog
from apps.runs.log.spool import Spool
from apps.runs.models import LogEntry, Run
from apps.runs.recovery.lost_runs import close_lost_runs, ship_leftover_spools
from tests.factories import make_service

pytestmark = pytest.mark.django_db(transaction=True)
logger = logging.getLogger("apps.services.anything")


@pytest.fixture(autouse=True)
def small_limit(settings, tmp_path):
    settings.SPOOL_DIR = tmp_path / "spool"
    settings.MAX_LOG_LINES = 20


@pytest.fixture
def run():
    run = Run.objects.create(service=make_service(), trigger="manual")
    run.claim("here:1")
    run.refresh_from_db()
    return run


def stored(run):
    rows = LogEntry.objects.filter(run_id=run.pk).order_by("sequence").values_list("sequence", "message")
    assert [sequence for sequence, _ in rows] == list(range(1, len(rows) + 1))
    return [message for _, message in rows]


def write(run, count):
    with RunLog(run, run.lease_token) as log:
        for number in range(1, count + 1):
            logger.info("line %d", number)
        end_run(run, run.lease_token, log, Run.Status.SUCCEEDED)
    run.refresh_from_db()


def check_ends(run, messages, count):
    """Checks that head and tail are complete and that the number of omitted lines is correct."""
    head = [message for message in messages[:10] if message.startswith("line")]
    tail = messages[12:]
    omitted = count - len(head) - len([message for message in tail if message.startswith("line")])
    assert head == [f"line {number}" for number in range(1, 11)]
    assert messages[10].startswith("The log has reached half of its limit of 20 lines and 512 MiB")
    assert messages[11] == f"… {omitted} lines left out …"
    assert tail[: count - omitted - 10] == [f"line {n}" for n in range(omitted + 11, count + 1)]
    assert run.omitted_line_count == omitted > 0


@pytest.mark.parametrize("count", [30, 33, 1000])
def test_log_beyond_limit_keeps_head_and_tail_and_counts_the_rest(run, count):
    write(run, count)

    messages = stored(run)
    check_ends(run, messages, count)
    assert 17 <= len(messages) <= 22
    assert (run.is_complete, run.lost_line_count, run.line_count) == (True, 0, len(messages))
    assert list(Spool(run.pk).path.parent.iterdir()) == []


@pytest.mark.parametrize("count", [10, 11, 15, 20])
def test_log_within_limit_is_complete(run, count):
    write(run, count)

    messages = [message for message in stored(run) if message.startswith("line")]
    assert messages == [f"line {number}" for number in range(1, count + 1)]
    assert run.omitted_line_count == 0


def test_log_is_limited_by_bytes(run, settings):
    settings.MAX_LOG_LINES = 10**6
    settings.MAX_LOG_BYTES = 4000

    write(run, 500)

    messages = stored(run)
    size = sum(len(message) for message in messages)
    assert (messages[0], messages[-1]) == ("line 1", "line 500")
    assert size < 4000
    assert run.omitted_line_count == 500 - len([text for text in messages if text.startswith("line ")])


def test_log_of_dead_worker_beyond_limit_keeps_head_and_tail(run):
    with RunLog(run, run.lease_token):
        for number in range(1, 101):
            logger.info("line %d", number)
    Run.objects.filter(pk=run.pk).update(lease_until=Now() - timedelta(seconds=1))

    close_lost_runs(worker="here:2")

    run.refresh_from_db()
    check_ends(run, stored(run), 100)
    assert (run.status, run.is_complete) == ("lost", True)
    assert list(Spool(run.pk).path.parent.iterdir()) == []


def test_interrupted_merge_of_the_tail_is_resumed(run, monkeypatch):
    with RunLog(run, run.lease_token) as log:
        for number in range(1, 101):
            logger.info("line %d", number)
        log._detach()
        append, left = log._spool.append, iter(range(3))

        def append_some(line):
            if next(left, None) is None:
                raise KeyboardInterrupt
            append(line)

        monkeypatch.setattr(log._spool, "append", append_some)
        with pytest.raises(KeyboardInterrupt):
            log.seal()
    Run.objects.filter(pk=run.pk).update(lease_until=Now() - timedelta(seconds=1))

    close_lost_runs(worker="here:2")

    run.refresh_from_db()
    check_ends(run, stored(run), 100)


def test_tail_is_merged_once_the_disk_has_space(run, monkeypatch):
    with RunLog(run, run.lease_token):
        for number in range(1, 101):
            logger.info("line %d", number)
    Run.objects.filter(pk=run.pk).update(lease_until=Now() - timedelta(seconds=1))

    def refuse(_descriptor, _data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as full:
        full.setattr("apps.runs.log.spool_tail.os.write", refuse)
        close_lost_runs(worker="here:2")
    run.refresh_from_db()
    assert (run.status, run.is_complete) == ("lost", False)
    assert run.lost_reason == "the spool on here cannot be read: No space left on device"

    ship_leftover_spools()

    run.refresh_from_db()
    assert stored(run)[-1] == "line 100"
    assert (run.is_complete, run.omitted_line_count > 0) == (True, True)
    assert list(Spool(run.pk).path.parent.iterdir()) == []


def test_errors_beyond_the_limit_are_counted_and_reference_the_gap(run):
    with RunLog(run, run.lease_token) as log:
        for number in range(1, 101):
            logger.error("line %d", number) if number > 50 else logger.info("line %d", number)
        assert log.next_sequence == 11
        end_run(run, run.lease_token, log, Run.Status.FAILED)

    run.refresh_from_db()
    assert (run.error_count, run.error, run.error_sequence) == (50, "line 51", 11)


def test_lost_lines_are_reported_once_and_counted_without_the_notice(run, monkeypatch):
    write_bytes, full = os.write, False

    def write_unless_full(descriptor, data):
        if full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write_bytes(descriptor, data)

    monkeypatch.setattr(os, "write", write_unless_full)
    with RunLog(run, run.lease_token) as log:
        for state in (False, True, True, False, True, False):
            full = state
            logger.info("line")
        seal = log.seal()

    assert [message.partition(":")[0] for message in stored(run)] == [
        "line",
        "… 2 lines were lost here",
        "line",
        "… 1 line was lost here",
        "line",
    ]
    assert (seal.line_count, seal.lost_line_count) == (5, 3)
