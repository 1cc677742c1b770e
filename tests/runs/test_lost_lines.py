"""Lines that the disk did not take are told of, also when the worker that counted them dies."""

import errno
import logging
import os
from datetime import timedelta

import pytest
from django.db.models.functions import Now

from apps.runs.logs.run_log import RunLog
from apps.runs.models import Run
from apps.runs.queueing import queue_run
from apps.runs.recovery import close_lost_runs
from tests.factories import make_service

pytestmark = pytest.mark.django_db(transaction=True)
logger = logging.getLogger("apps.services.anything")


def test_the_losses_of_a_dead_worker_are_told(settings, tmp_path, monkeypatch):
    settings.SPOOL_DIR = tmp_path / "spool"
    run = queue_run(make_service(), trigger=Run.Trigger.MANUAL)
    token = run.claim("here:1")
    run.refresh_from_db()
    write = os.write

    def refuse(_descriptor, _data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with RunLog(run, token):
        logger.info("one")
        monkeypatch.setattr("apps.runs.logs.spool.os.write", refuse)
        logger.info("lost")
        logger.info("lost")
        monkeypatch.setattr("apps.runs.logs.spool.os.write", write)
        logger.info("two")
    Run.objects.filter(pk=run.pk).update(lease_until=Now() - timedelta(seconds=1))

    assert close_lost_runs(worker="here:2") == 1

    run.refresh_from_db()
    assert (run.status, run.is_complete, run.lost_line_count) == ("lost", False, 2)
    assert run.lost_reason == "the spool could not be written: No space left on device"
