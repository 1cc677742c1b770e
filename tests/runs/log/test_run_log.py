import errno
import logging
import os
import threading
import time
import zlib
from contextlib import ExitStack
from contextvars import copy_context
from datetime import timedelta

import pytest
from django.db import OperationalError, connection
from django.db.models.functions import Now

from apps.runs.execution.finalization import end_run
from apps.runs.log import context, shipper
from apps.runs.log.context import current_binding
from apps.runs.log.run_log import RunLog
from apps.runs.log.shipper import LeaseLost
from apps.runs.log.spool import Spool
from apps.runs.models import LogEntry, Run, Step
from tests import factories

pytestmark = pytest.mark.django_db(transaction=True)
logger = logging.getLogger("apps.services.anything")


@pytest.fixture(autouse=True)
def spool_dir(settings, tmp_path):
    settings.SPOOL_DIR = tmp_path / "spool"


@pytest.fixture
def claimed(run):
    token = run.claim("worker")
    run.refresh_from_db()
    return run, token


def stored(run):
    return list(
        LogEntry.objects.filter(run_id=run.pk)
        .order_by("sequence")
        .values_list("sequence", "level", "step", "message")
    )


def test_lines_are_stored_in_order_with_level_and_step(claimed):
    run, token = claimed

    with RunLog(run, token) as log:
        logger.debug("one")
        logger.info("two %d", 2)
        log.step = Step.PULL
        logger.warning("three")
        logger.error("four\nwith more")
        logger.critical("five")
        seal = log.seal()

    assert stored(run) == [
        (1, 10, 1, "one"),
        (2, 20, 1, "two 2"),
        (3, 30, 2, "three"),
        (4, 40, 2, "four\nwith more"),
        (5, 40, 2, "five"),
    ]
    assert (seal.line_count, seal.lost_line_count, seal.is_complete) == (5, 0, True)
    assert seal.log_checksum == zlib.crc32(Spool(run.pk).path.read_bytes())
    counters = log.counters()
    # The step goes on.
    assert list(counters.pop("step_seconds")) == ["pull"]
    assert counters == {
        "pulled_count": 0,
        "pushed_count": 0,
        "warning_count": 1,
        "error_count": 2,
        "error": "four",
        "error_sequence": 4,
    }


def test_lines_arrive_while_the_run_goes_on(claimed):
    run, token = claimed

    with RunLog(run, token) as log:
        log.pulled_count = 3
        logger.error("seen early")
        deadline = time.monotonic() + 10
        while not stored(run) and time.monotonic() < deadline:
            time.sleep(0.05)
        run.refresh_from_db()

        assert (run.line_count, run.pulled_count, run.error_count, run.error) == (1, 3, 1, "seen early")


def test_every_character_arrives_as_it_should(claimed):
    run, token = claimed
    messages = [
        "back\\slash \\n \\. tab\t line\nfeed",
        "\\.",
        "NUL \x00 and \x1b[31mred\x1b[0m",
        "Grüße 世界 👋 '; DROP TABLE runs_run; --",
        "",
        "%s %(x)s {} \\N",
    ]

    with RunLog(run, token) as log:
        for message in messages:
            logger.info("%s", message)
        log.seal()

    assert [line[3] for line in stored(run)] == [message.replace("\x00", "␀") for message in messages]


def test_secrets_are_hidden_also_in_exceptions(claimed):
    run, token = claimed

    with RunLog(run, token, secrets=["s3cr3t-value"]) as log:
        try:
            int("s3cr3t-value")
        except ValueError:
            logger.exception("Failed with %s", "s3cr3t-value")
        log.seal()

    [(_, _, _, message)] = stored(run)
    assert "s3cr3t-value" not in message
    assert "Failed with ••••" in message
    assert "invalid literal for int() with base 10: '••••'" in message
    assert b"s3cr3t" not in Spool(run.pk).path.read_bytes()


def test_a_faulty_logging_call_is_stored_not_raised(claimed, monkeypatch):
    run, token = claimed
    # The test runner's own handler raises what ours stores.
    monkeypatch.setattr(logging.getLogger(), "handlers", [])

    with RunLog(run, token) as log:
        logger.info("%d of %d", "many")
        logger.info("%(count)d lines", {"number": 1})
        log.seal()

    first, second = (line[3] for line in stored(run))
    assert first.startswith("%d of %d [invalid arguments:")
    assert second == "%(count)d lines [invalid arguments: 'count']"


def test_lines_of_other_threads_stay_out(claimed):
    run, token = claimed

    with RunLog(run, token) as log:
        other = threading.Thread(target=logger.info, args=("from elsewhere",))
        other.start()
        other.join()
        logger.info("from here")
        log.seal()

    assert [line[3] for line in stored(run)] == ["from here"]


def test_nothing_is_heard_after_the_block_also_after_an_error(claimed):
    run, token = claimed

    with pytest.raises(ZeroDivisionError), RunLog(run, token):
        _ = 1 / 0
    logger.info("too late")

    assert stored(run) == []


def test_voice_that_is_hushed_while_a_line_is_on_its_way_breaks_nothing():
    class HushedJustNow:
        """As another thread's `unbind` makes it, right after it was seen with a handler."""

        handlers = [None, logging.NullHandler()]

        @property
        def handler(self):
            return self.handlers.pop()

    def speak():
        current_binding.set(HushedJustNow())
        logger.info("said")

    logging.getLogger().addHandler(context._run_dispatcher)

    copy_context().run(speak)


def test_no_line_is_passed_over_while_another_run_ends(claimed):
    run, token = claimed
    other = factories.make_run(status=Run.Status.QUEUED)
    other_context, other_log = copy_context(), RunLog(other, other.claim("worker"))
    other_context.run(other_log.__enter__)

    class EndsTheOther(logging.Handler):
        def emit(self, record):
            other_context.run(other_log.__exit__, None, None, None)

    ends_the_other = EndsTheOther()
    logging.getLogger().addHandler(ends_the_other)
    try:
        with RunLog(run, token) as log:
            logger.info("said as the other run ends")
            log.seal()
    finally:
        logging.getLogger().removeHandler(ends_the_other)

    assert [line[3] for line in stored(run)] == ["said as the other run ends"]


def test_few_runs_of_a_process_write_at_a_time(monkeypatch):
    monkeypatch.setattr(shipper, "MAX_WAIT", 60)
    is_writing = threading.Event()

    def write():
        with shipper.turn():
            is_writing.set()

    one_more = threading.Thread(target=write)
    with ExitStack() as writing:
        for _number in range(shipper.MOST_AT_ONCE):
            writing.enter_context(shipper.turn())
        one_more.start()
        assert not is_writing.wait(0.1)
    one_more.join()

    assert is_writing.is_set()


def test_runs_that_hang_hold_up_no_other(claimed):
    run, token = claimed

    with ExitStack() as hanging:
        for _number in range(shipper.MOST_AT_ONCE):
            hanging.enter_context(shipper.turn())
        with RunLog(run, token) as log:
            logger.info("said meanwhile")
            deadline = time.monotonic() + 10
            while not stored(run) and time.monotonic() < deadline:
                time.sleep(0.05)
            end_run(run, token, log, Run.Status.SUCCEEDED)

    run.refresh_from_db()
    assert (run.status, run.line_count, run.is_complete) == (Run.Status.SUCCEEDED, 1, True)


def test_a_log_is_taken_up_where_a_dead_worker_left_it(claimed):
    run, token = claimed
    with RunLog(run, token):
        logger.info("shipped")
    spool = Spool(run.pk)
    spool.open()
    spool.append(f"{run.pk}\t2\t2026-11-23 07:15:09.000000+00\t20\t2\tonly spooled\n".encode())
    spool.append(b"torn")
    spool.close()

    with RunLog(run, token) as log:
        logger.info("taken up")
        seal = log.seal()

    assert [line[::3] for line in stored(run)] == [(1, "shipped"), (2, "only spooled"), (3, "taken up")]
    assert seal.is_complete


def test_whoever_lost_the_lease_writes_nothing(claimed):
    run, token = claimed

    with RunLog(run, token) as log:
        Run.objects.filter(pk=run.pk).update(lease_until=Now() - timedelta(seconds=1))
        logger.info("too late")
        with pytest.raises(LeaseLost):
            log.seal()

    assert stored(run) == []
    assert b"too late" in Spool(run.pk).path.read_bytes()


def test_a_request_to_cancel_reaches_the_worker(claimed, monkeypatch):
    monkeypatch.setattr("apps.runs.log.shipper.HEARTBEAT_INTERVAL", 0.1)
    run, token = claimed

    with RunLog(run, token) as log:
        assert not log.cancel_requested
        assert run.request_cancel()
        deadline = time.monotonic() + 10
        while not log.cancel_requested and time.monotonic() < deadline:
            time.sleep(0.05)

        assert log.cancel_requested


def test_lines_that_the_disk_does_not_take_are_counted(claimed, monkeypatch):
    run, token = claimed
    write = os.write
    full = False

    def write_unless_full(descriptor, data):
        if full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(descriptor, data)

    monkeypatch.setattr("apps.runs.log.spool.os.write", write_unless_full)

    with RunLog(run, token) as log:
        logger.info("one")
        full = True
        logger.info("lost")
        logger.info("lost")
        full = False
        logger.info("two")
        seal = log.seal()

    assert [line[::3] for line in stored(run)] == [
        (1, "one"),
        (2, "… 2 lines were lost here: the spool could not be written: No space left on device …"),
        (3, "two"),
    ]
    assert (seal.line_count, seal.lost_line_count, seal.is_complete) == (3, 2, False)
    assert seal.lost_reason == "the spool could not be written: No space left on device"


def test_the_database_going_away_loses_and_doubles_nothing(claimed, monkeypatch):
    run, token = claimed
    failures = iter([True, False, True, False])
    write_lines = shipper.write_lines

    def write_and_sometimes_fail(chunk):
        write_lines(chunk)
        if next(failures, False):
            raise OperationalError("the connection is gone")

    monkeypatch.setattr(shipper, "write_lines", write_and_sometimes_fail)
    monkeypatch.setattr(shipper, "RETRY_EVERY", 0.01)

    with RunLog(run, token) as log:
        for number in range(1, 201):
            logger.info("%d", number)
            if number == 100:
                time.sleep(1)
        log.seal()

    assert [line[3] for line in stored(run)] == [str(number) for number in range(1, 201)]
    connection.close()
