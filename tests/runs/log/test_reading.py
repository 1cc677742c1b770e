"""Reading a log: the run's row limits the lines that are read, and no line is skipped."""

import logging
import threading
import time

import pytest
from django.db import connection
from django.db.models import Max

from apps.runs.log.reading import last_sequence, lines_after
from apps.runs.log.run_log import RunLog
from apps.runs.models import LogEntry, Run
from tests.factories import make_log_entries, make_run

pytestmark = pytest.mark.django_db
logger = logging.getLogger("apps.services.anything")


def newest(run):
    return LogEntry.objects.filter(run=run).aggregate(newest=Max("sequence"))["newest"] or 0


def sequences(run, after):
    return [line.sequence for line in lines_after(run, after, 100)]


@pytest.mark.parametrize(("after", "queries"), [(2, 1), (3, 0), (4, 0)])
def test_lines_are_queried_only_if_they_exist(after, queries, django_assert_num_queries):
    run = make_run(status=Run.Status.RUNNING)
    make_log_entries(run, 3)

    with django_assert_num_queries(queries):
        found = sequences(run, after)

    assert found == [3] * queries


def test_lines_after_lost_lines_are_read():
    run = make_run(status=Run.Status.LOST, is_complete=False)
    make_log_entries(run, 5)
    LogEntry.objects.filter(run=run, sequence__in=(2, 3)).delete()
    run.line_count, run.lost_line_count = 3, 2

    assert (last_sequence(run), sequences(run, 0), sequences(run, 3)) == (5, [1, 4, 5], [4, 5])


@pytest.mark.parametrize("lost", [0, 2])
def test_lines_newer_than_the_run_row_are_not_read(lost):
    run = make_run(status=Run.Status.RUNNING)
    make_log_entries(run, 3 + lost)
    LogEntry.objects.filter(run=run, sequence__lte=lost).delete()
    read = Run.objects.get(pk=run.pk)
    read.line_count, read.lost_line_count = 3, lost
    make_log_entries(run, 2)

    assert (last_sequence(read), sequences(read, lost)) == (3 + lost, [1 + lost, 2 + lost, 3 + lost])


@pytest.mark.django_db(transaction=True)
def test_line_count_changes_together_with_the_visible_lines(run, settings, tmp_path):
    settings.SPOOL_DIR = tmp_path / "spool"
    token = run.claim("test")
    is_between = []

    def compare():
        while not stopping.is_set():
            before, count, after = newest(run), Run.objects.get(pk=run.pk).line_count, newest(run)
            is_between.append(before <= count <= after)
        connection.close()

    stopping = threading.Event()
    reader = threading.Thread(target=compare)
    with RunLog(run, token) as log:
        reader.start()
        for number in range(3000):
            logger.info("Line %d", number)
            if number % 1000 == 0:
                time.sleep(0.4)
        seal = log.seal()
    stopping.set()
    reader.join()
    run.finish(token, Run.Status.SUCCEEDED, **log.counters(), **seal.columns())
    run.refresh_from_db()

    assert all(is_between)
    assert last_sequence(run) == newest(run) == 3000
