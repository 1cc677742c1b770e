"""A clock that tests move, and the ends of runs at its time."""

from datetime import UTC, datetime, timedelta

import pytest

from apps.alerts.incidents import problem_events, run_events
from apps.alerts.incidents.clock_events import evaluate_clock
from apps.alerts.incidents.run_events import receive_run_end
from apps.alerts.models import Delivery
from tests.factories import make_run

NOON = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)


class Story:
    """What happens at which time, and the messages that it causes."""

    def __init__(self) -> None:
        self.now = NOON

    def wait(self, **span):
        """Moves the clock, and evaluates what depends on it."""
        self.now += timedelta(**span)
        return evaluate_clock(self.now)

    def end(self, service, status="failed", **fields):
        """Ends a run of the service, one minute after the last event."""
        self.now += timedelta(minutes=1)
        times = {"started_at": self.now - timedelta(seconds=30), "finished_at": self.now}
        run = make_run(service, **{"status": status, **times} | fields)
        receive_run_end(run_id=run.pk)
        return run

    def subjects(self):
        """Subjects of the messages since the last call, without their prefix."""
        deliveries = list(Delivery.objects.order_by("pk"))
        found = [delivery.subject.removeprefix("[Synclog] ") for delivery in deliveries]
        Delivery.objects.all().delete()
        return found


@pytest.fixture
def story(monkeypatch):
    story = Story()
    for module in (run_events, problem_events):
        monkeypatch.setattr(module, "database_now", lambda: story.now)
    return story
