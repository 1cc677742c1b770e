"""The figures by which operators see whether Synclog keeps up, in the text format of Prometheus."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import NamedTuple

from django.db.models import Count, Min

from apps.runs.clock import database_now
from apps.runs.models import Payload, Run, Tick
from apps.runs.monitoring.doctor import run_checks
from apps.runs.payloads.expiry import expiry_lag


class Gauge(NamedTuple):
    """A figure that goes up and down, once for each set of labels."""

    name: str
    help: str
    samples: tuple[tuple[Mapping[str, str], float], ...]


def metrics_text() -> str:
    """All figures, as `text/plain; version=0.0.4`."""
    return "".join(line + "\n" for gauge in gauges(database_now()) for line in _lines(gauge))


def gauges(now: datetime) -> Iterator[Gauge]:
    """What is queued, what runs, what has expired, when each job of the housekeeping was done, what is down."""
    counts: dict[str, int] = dict(Run.objects.open().values_list("status").annotate(number=Count("pk")))
    by_status = [({"status": str(status)}, counts.get(status, 0)) for status in Run.OPEN]
    yield _gauge("synclog_open_runs", "Runs that are queued or running.", by_status)
    queued = Run.objects.claimable().aggregate(at=Min("queued_at"))["at"]
    yield _gauge(
        "synclog_queue_age_seconds",
        "For how long the oldest run that no other holds up has waited for a worker.",
        [({}, _seconds(now, queued))],
    )
    yield _gauge(
        "synclog_expiry_lag_seconds",
        "For how long the oldest expired payload has still been in the store.",
        [({}, expiry_lag().total_seconds())],
    )
    refused = Payload.objects.filter(status=Payload.Status.DELETING).exclude(delete_error="").count()
    yield _gauge(
        "synclog_undeletable_payloads",
        "Expired payloads that the store has refused to delete so far.",
        [({}, refused)],
    )
    ticks = list(Tick.objects.order_by("name"))
    yield _gauge(
        "synclog_job_age_seconds",
        "How long ago a job of the housekeeping was last done; queue_due_runs tells of the scheduler.",
        [({"job": tick.name}, _seconds(now, tick.ticked_at)) for tick in ticks],
    )
    yield _gauge(
        "synclog_job_outcome",
        "What a job of the housekeeping counted when it was last done.",
        [
            ({"job": tick.name, "outcome": name}, count)
            for tick in ticks
            for name, count in sorted(tick.outcome.items())
        ],
    )
    yield _gauge(
        "synclog_check_ok",
        "Whether a health check of the doctor passes.",
        [({"check": result.name}, result.is_ok) for result in run_checks()],
    )


def _gauge(name: str, help_text: str, samples: Iterable[tuple[Mapping[str, str], float]]) -> Gauge:
    return Gauge(name, help_text, tuple(samples))


def _seconds(now: datetime, since: datetime | None) -> float:
    return max((now - since).total_seconds(), 0) if since else 0


def _lines(gauge: Gauge) -> Iterator[str]:
    yield f"# HELP {gauge.name} {gauge.help}"
    yield f"# TYPE {gauge.name} gauge"
    for labels, value in gauge.samples:
        # The words are our own: nothing in them is to be escaped.
        told = ",".join(f'{name}="{word}"' for name, word in labels.items())
        yield f"{gauge.name}{{{told}}} {float(value)!r}" if told else f"{gauge.name} {float(value)!r}"
