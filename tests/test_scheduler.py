"""The scheduler of periodic tasks."""

from contextlib import closing
from datetime import timedelta

from django.conf import settings

from config.celery import app
from config.scheduler import Scheduler


def test_scheduler_continues_after_the_clock_was_set_back(monkeypatch, tmp_path):
    monkeypatch.setattr(Scheduler, "apply_async", lambda *_arguments, **_options: None)
    with closing(Scheduler(app=app, schedule_filename=str(tmp_path / "schedule"))) as scheduler:
        scheduler.tick()
        for entry in scheduler.schedule.values():
            entry.last_run_at += timedelta(days=1)

        scheduler.tick()

        for name, task in settings.CELERY_BEAT_SCHEDULE.items():
            assert scheduler.schedule[name].is_due().next <= task["schedule"]
