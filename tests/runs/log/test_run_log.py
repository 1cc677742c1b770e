"""Run log: storing lines, masking secrets, threads, leases, lost lines."""

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
    # The step has not ended, so its duration varies.
    assert list(counters.pop("step_seconds")) == ["pull"]
    assert counters == {
        "pulled_count": 0,
        "pushed_count": 0,
        "refused_count": 0,
        "warning_count": 1,
        "error_count": 2,
        "error": "four",
        "error_sequence": 4,
    }


def test_lines_are_stored_during_the_run(claimed):
    run, token = claimed

    with RunLog(run, token) as log:
        log.pulled_count = 3
        logger.error("first error")
        deadline = time.monotonic() + 10
        while not stored(run) and time.monotonic() < deadline:
            time.sleep(0.05)
        run.refresh_from_db()

        assert (run.line_count, run.pulled_count, run.error_count, run.error) == (1, 3, 1, "first error")


def test_special_characters_are_stored_unchanged(claimed):
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


def test_secrets_are_masked_in_messages_and_exceptions(claimed):
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


def test_invalid_logging_call_is_stored_not_raised(claimed, monkeypatch):
    run, token = claimed
    # pytest's handler raises errors that the run's handler stores.
    monkeypatch.setattr(logging.getLogger(), "handlers", [])

    with RunLog(run, token) as log:
        logger.info("%d of %d", "many")
        logger.info("%(count)d lines", {"number": 1})
        log.seal()

    first, second = (line[3] for line in stored(run))
    assert first.startswith("%d of %d [invalid arguments:")
    assert second == "%(count)d lines [invalid arguments: 'count']"


def test_lines_of_other_threads_are_not_stored(claimed):
    run, token = claimed

    with RunLog(run, token) as log:
        other = threading.Thread(target=logger.info, args=("from elsewhere",))
        other.start()
        other.join()
        logger.info("from here")
        log.seal()

    assert [line[3] for line in stored(run)] == ["from here"]


def test_lines_after_the_block_are_not_stored(claimed):
    run, token = claimed

    with pytest.raises(ZeroDivisionError), RunLog(run, token):
        _ = 1 / 0
    logger.info("too late")

    assert stored(run) == []


def test_unbinding_during_a_logging_call_does_not_fail():
    class BindingWithoutHandler:
        """A binding whose handler another thread removes right after its first read."""

        handlers = [None, logging.NullHandler()]

        @property
        def handler(self):
            return self.handlers.pop()

    def log_message():
        current_binding.set(BindingWithoutHandler())
        logger.info("message")

    logging.getLogger().addHandler(context._run_dispatcher)

    copy_context().run(log_message)


def test_ending_run_does_not_drop_lines_of_another(claimed):
    run, token = claimed
    other = factories.make_run(status=Run.Status.QUEUED)
    other_context, other_log = copy_context(), RunLog(other, other.claim("worker"))
    other_context.run(other_log.__enter__)

    class EndOtherRun(logging.Handler):
        def emit(self, record):
            other_context.run(other_log.__exit__, None, None, None)

    handler = EndOtherRun()
    logging.getLogger().addHandler(handler)
    try:
        with RunLog(run, token) as log:
            logger.info("logged while the other run ends")
            log.seal()
    finally:
        logging.getLogger().removeHandler(handler)

    assert [line[3] for line in stored(run)] == ["logged while the other run ends"]


def test_concurrent_writers_of_a_process_are_limited(monkeypatch):
    monkeypatch.setattr(shipper, "MAX_WAIT", 60)
    is_writing = threading.Event()

    def write():
        with shipper.limit_concurrent_writes():
            is_writing.set()

    one_more = threading.Thread(target=write)
    with ExitStack() as writing:
        for _number in range(shipper.MAX_CONCURRENT_WRITES):
            writing.enter_context(shipper.limit_concurrent_writes())
        one_more.start()
        assert not is_writing.wait(0.1)
    one_more.join()

    assert is_writing.is_set()


def test_hanging_runs_do_not_delay_others(claimed):
    run, token = claimed

    with ExitStack() as hanging:
        for _number in range(shipper.MAX_CONCURRENT_WRITES):
            hanging.enter_context(shipper.limit_concurrent_writes())
        with RunLog(run, token) as log:
            logger.info("logged meanwhile")
            deadline = time.monotonic() + 10
            while not stored(run) and time.monotonic() < deadline:
                time.sleep(0.05)
            end_run(run, token, log, Run.Status.SUCCEEDED)

    run.refresh_from_db()
    assert (run.status, run.line_count, run.is_complete) == (Run.Status.SUCCEEDED, 1, True)


def test_log_resumes_after_a_dead_worker(claimed):
    run, token = claimed
    with RunLog(run, token):
        logger.info("shipped")
    spool = Spool(run.pk)
    spool.open()
    spool.append(f"{run.pk}\t2\t2026-11-23 07:15:09.000000+00\t20\t2\tonly spooled\n".encode())
    spool.append(b"torn")
    spool.close()

    with RunLog(run, token) as log:
        logger.info("resumed")
        seal = log.seal()

    assert [line[::3] for line in stored(run)] == [(1, "shipped"), (2, "only spooled"), (3, "resumed")]
    assert seal.is_complete


def test_worker_without_lease_writes_nothing(claimed):
    run, token = claimed

    with RunLog(run, token) as log:
        Run.objects.filter(pk=run.pk).update(lease_until=Now() - timedelta(seconds=1))
        logger.info("too late")
        with pytest.raises(LeaseLost):
            log.seal()

    assert stored(run) == []
    assert b"too late" in Spool(run.pk).path.read_bytes()


def test_cancel_request_reaches_the_worker(claimed, monkeypatch):
    monkeypatch.setattr("apps.runs.log.shipper.HEARTBEAT_INTERVAL", 0.1)
    run, token = claimed

    with RunLog(run, token) as log:
        assert not log.cancel_requested
        assert run.request_cancel()
        deadline = time.monotonic() + 10
        while not log.cancel_requested and time.monotonic() < deadline:
            time.sleep(0.05)

        assert log.cancel_requested


def test_lines_lost_to_a_full_disk_are_counted(claimed, monkeypatch):
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


def test_database_outage_loses_and_duplicates_no_line(claimed, monkeypatch):
    run, token = claimed
    failures = iter([True, False, True, False])
    write_lines = shipper.write_lines

    def write_and_sometimes_fail(chunk):
        write_lines(chunk)
        if next(failures, False):
            raise OperationalError("connection lost")

    monkeypatch.setattr(shipper, "write_lines", write_and_sometimes_fail)
    monkeypatch.setattr(shipper, "RETRY_INTERVAL", 0.01)

    with RunLog(run, token) as log:
        for number in range(1, 201):
            logger.info("%d", number)
            if number == 100:
                time.sleep(1)
        log.seal()

    assert [line[3] for line in stored(run)] == [str(number) for number in range(1, 201)]
    connection.close()
