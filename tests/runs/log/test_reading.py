"""Reading a log: the row of the run says how far its lines reach, and nothing is passed over for that."""

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
def test_lines_are_looked_for_only_where_there_are_some(after, queries, django_assert_num_queries):
    run = make_run(status=Run.Status.RUNNING)
    make_log_entries(run, 3)

    with django_assert_num_queries(queries):
        found = sequences(run, after)

    assert found == [3] * queries


def test_line_behind_lost_ones_is_read_though_its_number_is_above_the_count():
    run = make_run(status=Run.Status.LOST, is_complete=False)
    make_log_entries(run, 5)
    LogEntry.objects.filter(run=run, sequence__in=(2, 3)).delete()
    run.line_count, run.lost_line_count = 3, 2

    assert (last_sequence(run), sequences(run, 0), sequences(run, 3)) == (5, [1, 4, 5], [4, 5])


@pytest.mark.parametrize("lost", [0, 2])
def test_lines_that_came_after_the_run_was_read_wait_for_its_next_reader(lost):
    run = make_run(status=Run.Status.RUNNING)
    make_log_entries(run, 3 + lost)
    LogEntry.objects.filter(run=run, sequence__lte=lost).delete()
    read = Run.objects.get(pk=run.pk)
    read.line_count, read.lost_line_count = 3, lost
    make_log_entries(run, 2)

    assert (last_sequence(read), sequences(read, lost)) == (3 + lost, [1 + lost, 2 + lost, 3 + lost])


@pytest.mark.django_db(transaction=True)
def test_run_counts_its_lines_at_the_moment_when_they_can_be_read(run, settings, tmp_path):
    settings.SPOOL_DIR = tmp_path / "spool"
    token = run.claim("test")
    seen = []

    def look():
        while not stopping.is_set():
            before, count, after = newest(run), Run.objects.get(pk=run.pk).line_count, newest(run)
            seen.append(before <= count <= after)
        connection.close()

    stopping = threading.Event()
    reader = threading.Thread(target=look)
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

    assert all(seen)
    assert last_sequence(run) == newest(run) == 3000
