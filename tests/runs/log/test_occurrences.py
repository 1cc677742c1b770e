"""Occurrences of problems: counted with the lines, through deaths of workers, limits and late lines."""

import logging
import threading
import time
import uuid

import pytest
from django.db import connection, transaction

from apps.runs.log import shipper
from apps.runs.log.occurrences import add_occurrences
from apps.runs.log.run_log import RunLog
from apps.runs.log.shipper import LeaseLost
from apps.runs.log.spool import Spool
from apps.runs.log.stored_lines import append_lines
from apps.runs.models import Level, LogEntry, RunProblem
from tests.factories import make_run
from tests.runs.log.outages import break_shipping

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("own_folders")]
logger = logging.getLogger("apps.services.anything")


@pytest.fixture
def claimed(run):
    token = run.claim("worker")
    run.refresh_from_db()
    return run, token


def occurrences(run):
    return list(
        RunProblem.objects.filter(run=run)
        .order_by("first_sequence")
        .values_list("message", "count", "level", "first_sequence", "last_sequence")
    )


def test_lines_that_differ_in_numbers_are_one_problem(claimed):
    run, token = claimed

    with RunLog(run, token) as log:
        logger.info("Customer 1 has no address")
        logger.warning("Customer 2 has no address")
        logger.error("Order 17 has no price\nsecond line")
        logger.error("Customer 3 has no address")
        log.seal()

    assert occurrences(run) == [
        ("Customer 3 has no address", 2, 40, 2, 4),
        ("Order 17 has no price", 1, 40, 3, 3),
    ]
    first, last = LogEntry.objects.filter(run=run, sequence__in=(2, 4)).order_by("sequence")
    row = RunProblem.objects.get(run=run, first_sequence=2)
    assert (row.first_at, row.last_at, row.service_id) == (first.logged_at, last.logged_at, run.service_id)


def test_secrets_are_masked_in_occurrences(claimed):
    run, token = claimed

    with RunLog(run, token, secrets=["hunter2secret"]) as log:
        logger.error("Login with hunter2secret failed")
        log.seal()

    assert occurrences(run) == [("Login with •••• failed", 1, 40, 1, 1)]


def test_batches_add_up(claimed, monkeypatch):
    run, token = claimed
    monkeypatch.setattr(shipper, "SHIP_INTERVAL", 0.01)

    with RunLog(run, token) as log:
        for number in range(30):
            logger.error("Customer %d has no address", number)
            time.sleep(0.005)
        log.seal()

    assert occurrences(run) == [("Customer 29 has no address", 30, 40, 1, 30)]


def test_next_worker_counts_each_line_once(claimed):
    """The first worker dies after some lines have reached the database and others only the spool."""
    run, token = claimed

    with RunLog(run, token):
        logger.error("Customer 1 has no address")
        logger.error("Customer 2 has no address")
    spool = Spool(run.pk)
    spool.open()
    spool.append(f"{run.pk}\t3\t2026-11-23 07:15:09.120000+00\t40\t2\tCustomer 3 has no address\n".encode())
    spool.close()
    with RunLog(run, token) as log:
        logger.error("Customer 4 has no address")
        log.seal()

    assert occurrences(run) == [("Customer 4 has no address", 4, 40, 1, 4)]


@pytest.mark.parametrize("is_committed", [False, True], ids=["before the commit", "after the commit"])
def test_database_that_fails_during_a_batch_doubles_and_loses_nothing(claimed, monkeypatch, is_committed):
    run, token = claimed
    failures = break_shipping(monkeypatch, is_committed=is_committed)

    with RunLog(run, token) as log:
        for number in range(20):
            logger.error("Customer %d has no address", number)
        log.seal()

    assert failures
    assert occurrences(run) == [("Customer 19 has no address", 20, 40, 1, 20)]
    assert LogEntry.objects.filter(run=run).count() == 20


def test_worker_without_lease_counts_nothing(claimed):
    run, _token = claimed

    with RunLog(run, run.lease_token) as log:
        type(run).objects.filter(pk=run.pk).update(lease_token=uuid.uuid4())
        logger.error("Customer 1 has no address")
        with pytest.raises(LeaseLost):
            log.seal()

    assert (occurrences(run), LogEntry.objects.filter(run=run).count()) == ([], 0)


def test_run_has_at_most_100_problems_and_counts_the_other_lines(claimed):
    run, token = claimed

    with RunLog(run, token) as log:
        for number in range(3_000):
            logger.error("Cause %s", "".join(chr(97 + int(digit)) for digit in str(number)))
        logger.error("Cause a")
        log.seal()

    rows = RunProblem.objects.filter(run=run)
    assert rows.grouped().count() == RunProblem.MAX_PROBLEMS
    assert rows.other().values_list("count", "first_sequence").get() == (2_900, 101)
    assert sum(rows.values_list("count", flat=True)) == 3_001


def test_lines_that_the_closing_process_appends_are_counted():
    run = make_run()

    append_lines(run, [(Level.ERROR, "Run lost: worker a:1 stopped"), (Level.INFO, "ok")])

    assert occurrences(run) == [("Run lost: worker a:1 stopped", 1, 40, 1, 1)]


def test_lines_without_warnings_cost_no_query(run, django_assert_num_queries):
    line = f"{run.pk}\t1\t2026-11-23 07:15:09.120000+00\t20\t2\tall +00 40 well\n"

    with django_assert_num_queries(0):
        add_occurrences(line.encode())


@pytest.mark.postgresql
def test_runs_of_a_service_do_not_wait_for_each_other(service):
    """The first run has counted the same problem and is not committed yet."""
    runs = [make_run(service), make_run(service)]
    append_lines(runs[0], [(Level.ERROR, "Customer 1 has no address")])
    waited = []

    def count_in_the_second():
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL lock_timeout = '5ms'")
            append_lines(runs[1], [(Level.ERROR, "Customer 3 has no address")])
            waited.append(False)
        connection.close()

    with transaction.atomic():
        append_lines(runs[0], [(Level.ERROR, "Customer 2 has no address")])
        thread = threading.Thread(target=count_in_the_second)
        thread.start()
        thread.join()

    assert waited == [False]
    assert [occurrences(run)[0][1] for run in runs] == [2, 1]
