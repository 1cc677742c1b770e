"""Metrics for operators in the text format of Prometheus."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import NamedTuple

from django.db.models import Count, Min

from apps.runs.clock import database_now
from apps.runs.models import HousekeepingJob, Payload, Run
from apps.runs.monitoring.doctor import run_checks
from apps.runs.payloads.expiry import expiry_lag


class Gauge(NamedTuple):
    """A gauge with one value for each set of labels."""

    name: str
    help: str
    samples: tuple[tuple[Mapping[str, str], float], ...]


def metrics_text() -> str:
    """All metrics as `text/plain; version=0.0.4`."""
    return "".join(line + "\n" for gauge in gauges(database_now()) for line in _lines(gauge))


def gauges(now: datetime) -> Iterator[Gauge]:
    """Queued and running runs, expired payloads, last housekeeping runs and failed checks."""
    counts: dict[str, int] = dict(Run.objects.open().values_list("status").annotate(number=Count("pk")))
    by_status = [({"status": str(status)}, counts.get(status, 0)) for status in Run.OPEN]
    yield _gauge("synclog_open_runs", "Queued and running runs.", by_status)
    queue_age = _seconds(now, Run.objects.claimable().aggregate(at=Min("queued_at"))["at"])
    yield _gauge(
        "synclog_queue_age_seconds", "Age of the oldest run that waits for a worker.", [({}, queue_age)]
    )
    yield _gauge(
        "synclog_expiry_lag_seconds",
        "Time since the oldest expired payload in the store expired.",
        [({}, expiry_lag().total_seconds())],
    )
    undeletable = Payload.objects.filter(status=Payload.Status.DELETING).exclude(delete_error="")
    yield _gauge(
        "synclog_undeletable_payloads",
        "Expired payloads that the store refused to delete so far.",
        [({}, undeletable.count())],
    )
    jobs = list(HousekeepingJob.objects.order_by("name"))
    yield _gauge(
        "synclog_job_age_seconds",
        "Time since the last run of a housekeeping job; queue_due_runs is the scheduler.",
        [({"job": job.name}, _seconds(now, job.last_run_at)) for job in jobs],
    )
    yield _gauge(
        "synclog_job_outcome",
        "Counts of the last run of a housekeeping job.",
        [
            ({"job": job.name, "outcome": name}, count)
            for job in jobs
            for name, count in sorted(job.outcome.items())
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
        # The help texts are constant and need no escaping.
        pairs = ",".join(f'{name}="{text}"' for name, text in labels.items())
        yield (f"{gauge.name}{{{pairs}}} {float(value)!r}" if pairs else f"{gauge.name} {float(value)!r}")
