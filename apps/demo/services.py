"""Services of the demo: loaded once and then left to the user."""

from __future__ import annotations

from pathlib import Path
from string import Template

from django.contrib.auth.models import User
from django.db.models.functions import Now

from apps.runs.models import Payload, Run
from apps.runs.tasks import start_run
from apps.services.definition.loading import load_services
from apps.services.models import Connection, Service

SERVICES_FILE = Path(__file__).with_name("services.yaml")
HEALTHY, REFUSED, SLOW, FAILING = (
    "demo-orders",
    "demo-confirmations",
    "demo-meter-readings",
    "demo-invoices",
)


def load_demo_services(source_url: str, destination_url: str) -> None:
    """Creates the services unless they exist, and sets the addresses of their connections."""
    if Service.objects.filter(slug__in=(HEALTHY, REFUSED, SLOW, FAILING)).count() < 4:
        text = Template(SERVICES_FILE.read_text()).substitute(
            source_url=source_url, destination_url=destination_url
        )
        load_services(text, filename=SERVICES_FILE.name)
    Connection.objects.filter(name="demo-shop").update(url=source_url)
    Connection.objects.filter(name="demo-office").update(url=destination_url)


def start_first_runs(user: User) -> Run | None:
    """Starts a run that fails and a run with a refused record if there is none yet, and a run that stores payloads.

    Returns the run with payloads, or None if an earlier payload can still be fetched.
    """
    for service in Service.objects.filter(slug__in=(FAILING, REFUSED), runs=None).order_by("-slug"):
        start_run(service, trigger=Run.Trigger.MANUAL, user=user, store=("pull", "script"))
    healthy = Service.objects.get(slug=HEALTHY)
    if latest_pulled_payload():
        return None
    return start_run(healthy, trigger=Run.Trigger.MANUAL, user=user, store=("pull", "script", "push"))


def cancel_running_runs(user: User) -> int:
    """Cancels every running run, so that none is left without a worker; returns their number."""
    runs = list(Run.objects.running())
    for run in runs:
        run.request_cancel(user)
    return len(runs)


def latest_pulled_payload() -> Payload | None:
    """First page of the latest run of the healthy service whose payload can still be fetched."""
    return (
        Payload.objects.filter(
            run__service__slug=HEALTHY,
            kind=Payload.Kind.PULL,
            status=Payload.Status.STORED,
            expires_at__gt=Now(),
        )
        .order_by("-run", "sequence")
        .first()
    )
