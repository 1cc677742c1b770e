"""Heartbeat file of a worker or scheduler: its age tells a health check whether the process works."""

from pathlib import Path
from typing import Any

from celery.signals import after_task_publish, beat_init, heartbeat_sent


def touch_regularly(path: Path) -> None:
    """Touches the file every two seconds in a worker, and after each message of the scheduler (every ten seconds)."""

    def touch(**_signal: Any) -> None:
        path.touch()

    def touch_after_messages(**_signal: Any) -> None:
        after_task_publish.connect(touch, weak=False)

    heartbeat_sent.connect(touch, weak=False)
    beat_init.connect(touch_after_messages, weak=False)
