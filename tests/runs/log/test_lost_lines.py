"""Lines lost to a full disk are reported, even if the worker that counted them dies."""

import errno
import logging
import os
from contextlib import closing
from datetime import timedelta

import pytest
from django.conf import settings
from django.db.models.functions import Now

from apps.runs.execution.queue import queue_run
from apps.runs.log.run_log import RunLog
from apps.runs.log.spool import Spool
from apps.runs.models import Run
from apps.runs.recovery.lost_runs import close_lost_runs, ship_leftover_spools
from tests.factories import make_service

pytestmark = pytest.mark.django_db(transaction=True)
logger = logging.getLogger("apps.services.anything")


@pytest.fixture
def run(settings, tmp_path):
    settings.SPOOL_DIR = tmp_path / "spool"
    run = queue_run(make_service(), trigger=Run.Trigger.MANUAL)
    run.claim("here:1")
    run.refresh_from_db()
    return run


def refuse(_descriptor, _data, *_offset):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def loss_report(run):
    run.refresh_from_db()
    return run.status, run.is_complete, run.lost_line_count, run.lost_reason


def lose_two_lines(run, monkeypatch, *, is_killed):
    """Loses two lines to a full disk; then the worker dies, before its next heartbeat if it is killed."""
    log = RunLog(run, run.lease_token)
    if is_killed:
        monkeypatch.setattr(log._shipper, "start", lambda: None)
        monkeypatch.setattr(log._shipper, "finish", lambda: None)
    with log, monkeypatch.context() as full:
        logger.info("one")
        full.setattr("apps.runs.log.spool.os.write", refuse)
        logger.info("lost")
        logger.info("lost")
        full.undo()
        if not is_killed:
            logger.info("two")
    Run.objects.filter(pk=run.pk).update(lease_until=Now() - timedelta(seconds=1))


@pytest.mark.parametrize("is_killed", [False, True])
def test_lost_lines_of_dead_worker_are_reported(run, monkeypatch, is_killed):
    lose_two_lines(run, monkeypatch, is_killed=is_killed)

    assert close_lost_runs(worker="here:2") == 1

    assert loss_report(run) == (
        "lost",
        False,
        2,
        "the spool could not be written: No space left on device",
    )
    assert list(settings.SPOOL_DIR.iterdir()) == []


def test_lost_lines_are_reported_late_if_another_host_closed_the_run(run, monkeypatch):
    lose_two_lines(run, monkeypatch, is_killed=True)
    folder = settings.SPOOL_DIR.rename(settings.SPOOL_DIR.with_name("away"))
    close_lost_runs(worker="there:1")
    assert loss_report(run)[:3] == ("lost", False, 0)

    folder.rename(settings.SPOOL_DIR)
    ship_leftover_spools()

    assert loss_report(run) == (
        "lost",
        False,
        2,
        "the spool could not be written: No space left on device",
    )
    assert list(settings.SPOOL_DIR.iterdir()) == []


def test_partially_opened_spool_releases_its_lock(run, monkeypatch):
    with monkeypatch.context() as full:
        full.setattr("apps.runs.log.spool.os.pwrite", refuse)
        with pytest.raises(OSError, match="No space left on device"):
            RunLog(run, run.lease_token)

    with closing(Spool(run.pk)) as spool:
        assert spool.adopt()
