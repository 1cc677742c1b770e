"""Sample data of the screenshots: services with runs, logs, records, problems and incidents."""

import random
from datetime import datetime, timedelta
from datetime import time as clock
from typing import Any

from django.contrib.auth.models import User
from django.utils import timezone

from apps.alerts.incidents.changes import Failure, record_failure
from apps.alerts.models import Channel, Delivery, Incident, MaintenanceWindow, Problem, Rule
from apps.alerts.problems.changes import assign, set_note, set_state
from apps.alerts.problems.recurrence import note_occurrences
from apps.audit.changes import field_values
from apps.audit.recording import record_change
from apps.runs.models import HousekeepingJob, Level, Payload, Record, Run, RunProblem, Step
from apps.services.models import Service
from tests import factories

NAMES = (
    ("Orders to warehouse", "shop", "warehouse", "*/15 * * * *"),
    ("Invoices to ledger", "billing", "ledger", "0 * * * *"),
    ("Catalogue to marketplace", "catalogue", "marketplace", "30 */4 * * *"),
    ("Customers to mailing list", "crm", "mailing", "0 6 * * *"),
    ("Stock levels to shop", "warehouse", "shop", "*/30 * * * *"),
    ("Meter readings to billing", "meters", "billing", "10 * * * *"),
    ("Returns to finance", "shop", "ledger", ""),
    ("Prices to branches", "catalogue", "branches", "0 5 * * 1-5"),
)
PULLED_LINES = [f"Page {page}: 100 records pulled from shop in 0.{page + 20} s" for page in range(1, 9)]
OUTCOMES = (
    {"outcome": Record.Outcome.PUSHED, "step": Step.PUSH, "batch": 1, "sequence": 12},
    {"outcome": Record.Outcome.DROPPED, "step": Step.SCRIPT, "batch": 0, "sequence": 9},
    {"outcome": Record.Outcome.SKIPPED, "step": Step.PUSH, "batch": 0, "sequence": 10},
    {
        "outcome": Record.Outcome.REFUSED,
        "step": Step.PUSH,
        "batch": 2,
        "sequence": 14,
        "message": "422 unknown sku “BX-20 / 1l”: create the article in the warehouse first",
    },
    {
        "outcome": Record.Outcome.FAILED,
        "step": Step.PUSH,
        "batch": 3,
        "sequence": 15,
        "message": "The destination did not respond within 30 s",
    },
)
PROBLEMS = (
    (1, "transform: record 10045 has no “iban” (line 4 of the script)", Level.ERROR),
    (5, "POST https://billing.example/readings: 503 Service Unavailable", Level.ERROR),
    (0, "Order 10045 has no delivery address", Level.WARNING),
)


def make_sample() -> dict[str, Any]:
    """Returns the user, and the rows that have pages of their own, by name."""
    random.seed(10045)
    now = timezone.now()
    ada = factories.make_user("ada", first_name="Ada", is_superuser=True, password="ada")
    services = make_services(ada, now)
    running = make_running_run(services[0], ada, now)
    failed = complete_failed_run(services[1])
    refusing = make_records(services[0])
    for job in ("queue_due_runs", "close_lost_runs", "delete_expired_payloads", "prune_logs"):
        HousekeepingJob.record_run(job)
    problem = make_problems(services, failed, ada, now)
    mail, pager = make_channels(now)
    everything, rule = make_rules(services, mail, pager)
    incident = make_incidents(services, everything, now)
    delivery = Delivery.objects.filter(channel=mail).latest("id")
    delivery.claim(now, timedelta(minutes=5))
    delivery.record_success(now)
    MaintenanceWindow.objects.create(
        service=services[2],
        starts_at=now + timedelta(hours=3),
        ends_at=now + timedelta(hours=5),
        reason="New version",
    )
    before = field_values(services[0])
    services[0].schedule, services[0].max_attempts = "*/10 * * * *", 3
    record_change(ada, services[0], before)
    return {
        "user": ada,
        "services": services,
        "running": running,
        "failed": failed,
        "refusing": refusing,
        "payload": refusing.payloads.get(),
        "problem": problem,
        "channel": pager,
        "rule": rule,
        "incident": incident,
        "delivery": delivery,
    }


def make_services(user: User, now: datetime) -> list[Service]:
    """Creates services with runs of the last thirty days, and one whose runs are reported."""
    connections = {
        name: factories.make_connection(name=name) for name in dict.fromkeys(sum((n[1:3] for n in NAMES), ()))
    }
    services = []
    for number, (name, source, destination, schedule) in enumerate(NAMES):
        service = factories.make_service(
            name=name,
            slug=name.lower().replace(" ", "-"),
            source_connection=connections[source],
            destination_connection=connections[destination],
            schedule=schedule,
            is_active=number not in {5, 7},
            paused_at=now - timedelta(hours=5) if number == 5 else None,
            pause_after_failures=3 if number == 5 else 0,
            script="def transform(records):\n    return records\n",
        )
        service.plan_next_run(now)
        service.save()
        services.append(service)
        make_history(service, number, user, now)
    factories.make_service(
        name="Payroll export",
        slug="payroll-export",
        kind="reported",
        source_connection=None,
        destination_connection=None,
    )
    return services


def make_history(service: Service, number: int, user: User, now: datetime) -> None:
    """Creates runs of the last thirty days, more for services that run often."""
    every = (1, 2, 6, 24, 3, 4, 40, 24)[number]
    ended = (Run.Status.SUCCEEDED, Run.Status.FAILED, Run.Status.CANCELLED, Run.Status.LOST)
    weights = ((95, 3, 1, 1), (70, 30, 0, 0))[number in {1, 5}]
    for hour in range(24 * 30, 0, -every):
        started = now - timedelta(hours=hour, minutes=random.randrange(-50, 10))
        status = random.choices(ended, weights)[0]
        if number in {1, 5} and hour <= every:
            status = Run.Status.FAILED
        pulled = int(random.triangular(40, 900, 300) * (0.35 if started.weekday() > 4 else 1))
        is_manual = random.random() < 0.08
        factories.make_run(
            service,
            status=status,
            trigger=Run.Trigger.MANUAL if is_manual else Run.Trigger.SCHEDULE,
            started_by=user if is_manual else None,
            queued_at=started,
            started_at=started,
            finished_at=started + timedelta(seconds=random.triangular(2, 400, 20)),
            pulled_count=pulled,
            pushed_count=pulled if status == Run.Status.SUCCEEDED else pulled // 3,
            warning_count=random.choice((0, 0, 0, 1, 4)),
            error_count=int(status == Run.Status.FAILED),
            error="transform: record 10045 has no “iban” (line 4 of the script)"
            if status == Run.Status.FAILED
            else "",
        )


def make_running_run(service: Service, user: User, now: datetime) -> Run:
    run = factories.make_run(
        service, status=Run.Status.RUNNING, started_by=user, pulled_count=1204, pushed_count=1180,
        started_at=now - timedelta(seconds=52), store_pull=True, store_push=True,
    )  # fmt: skip
    factories.make_log_entries(run, ["Run started by Ada: store pull and push payloads", *PULLED_LINES])
    factories.make_log_entries(
        run, ["Order 10045 has no delivery address"], level=Level.WARNING, step=Step.SCRIPT
    )
    factories.make_log_entries(run, ["100 records pushed to warehouse"] * 4, step=Step.PUSH)
    factories.make_payload(run, sequence=2, name="page-1.json")
    return run


def complete_failed_run(service: Service) -> Run:
    """Adds the log and a payload to the last run that failed."""
    run = service.runs.filter(status="failed").latest("id")
    # The counts of the log lines replace the random counts.
    run.warning_count = run.error_count = 0
    factories.make_log_entries(run, PULLED_LINES)
    [line] = factories.make_log_entries(run, [run.error], level=Level.ERROR, step=Step.SCRIPT)
    run.error_sequence = line.sequence
    run.save(update_fields=["error_sequence"])
    factories.make_payload(run, sequence=3, name="page-2.json")
    return run


def make_records(service: Service) -> Run:
    """Creates records of the last runs, some refused and later resolved; returns a run that refused."""
    *_others, refusing, latest = service.runs.filter(status="succeeded").order_by("id")[:700]
    keys = [*range(10030, 10060), "A-3/2026", "éclair – 12", "a-rather-long-key-of-a-record-" * 4]
    for run, places in ((refusing, (0, 0, 0, 1, 2, 3, 3, 4)), (latest, (0,))):
        for index, key in enumerate(keys[:18] if run == latest else keys):
            place = 3 if key == 10045 and run == refusing else places[index % len(places)]
            factories.make_record(run, key=str(key), page=index // 10 + 1, **OUTCOMES[place])
        run.refused_count = run.records.filter(outcome=Record.Outcome.REFUSED).count()
        run.pulled_count = len(keys)
        run.pushed_count = run.records.filter(outcome=Record.Outcome.PUSHED).count()
        run.store_pull = True
        run.save()
        factories.make_payload(
            run,
            b'[{"id": 10044, "quantity": 1}, {"id": 10045, "quantity": 2, "sku": "BX-20"}, {"id": 10046}]',
            kind=Payload.Kind.PULL,
            name="pull-page-00002.json",
            sequence=2,
        )
    return refusing


def make_problems(services: list[Service], failed: Run, user: User, now: datetime) -> Problem:
    """Creates the problems; returns the one of the failed run, which is assigned to the user."""
    for number, message, level in PROBLEMS:
        status = Run.Status.FAILED if number else Run.Status.SUCCEEDED
        for run in services[number].runs.filter(status=status)[:80]:
            factories.make_run_problem(run, message, level=level, count=random.randint(1, 9))
    RunProblem.objects.filter(run=failed).update(
        first_sequence=failed.error_sequence, last_sequence=failed.error_sequence
    )
    note_occurrences(now)
    RunProblem.objects.update(is_noted=True)
    problem = Problem.objects.get(service=services[1])
    assign(problem, user, user=user, now=now)
    set_note(problem, "The accounting team adds the missing ones by Friday.", user=user, now=now)
    set_state(Problem.objects.get(service=services[0]), Problem.State.MUTED, user=user, now=now)
    return problem


def make_channels(now: datetime) -> tuple[Channel, Channel]:
    """Creates channels; returns one of mail, and a webhook that fails."""
    mail = factories.make_channel(
        name="ops-mail", to=["ops@shop.example", "night@shop.example"], last_sent_at=now
    )
    pager = factories.make_channel(
        name="pager", kind="webhook", url="https://pager.example/in", secret_env="PAGER_SECRET",
    )  # fmt: skip
    pager.record_failure(now - timedelta(minutes=20), "The environment variable PAGER_SECRET is not set.")
    factories.make_channel(name="ops-chat", kind="apprise", secret_env="OPS_CHAT_URL", is_active=False)
    return mail, pager


def make_rules(services: list[Service], mail: Channel, pager: Channel) -> tuple[Rule, Rule]:
    """Creates a rule for every service, and one with quiet hours for three of them."""
    events = ("failed", "recovered", "late", "lost", "problem")
    everything = factories.make_rule(
        name="Everything by mail", events=events, channels=[mail], no_success_for_hours=6
    )
    finance = factories.make_rule(
        *services[1:4], name="Finance at night", events=events[:3], channels=[mail, pager],
        quiet_from=clock(22), quiet_until=clock(6), timezone="Europe/London", daily_reminder=True,
    )  # fmt: skip
    return everything, finance


def make_incidents(services: list[Service], rule: Rule, now: datetime) -> Incident:
    """Creates open incidents with their messages, and a closed one; returns the newest open one."""
    for number in (5, 1):
        run = services[number].runs.filter(status=Run.Status.FAILED).latest("id")
        url = f"/admin/runs/run/{run.pk}/log/"
        failure = Failure(Incident.Kind.FAILED, services[number].pk, run.error, run=run, url=url)
        incident = record_failure(failure, [rule], now - timedelta(minutes=30 * number))
    factories.make_incident(
        services[3],
        kind=Incident.Kind.LATE,
        opened_at=now - timedelta(days=2),
        closed_at=now - timedelta(hours=40),
    )
    return incident
