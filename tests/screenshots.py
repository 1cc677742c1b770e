"""Takes screenshots of every page, light and dark, and saves them in ./screenshots.

    python -m tests.screenshots [--width 1440] [--folder screenshots] [--page home problems]

It creates a temporary database with sample runs and serves it.
"""

import argparse
import os
import random
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import time as clock
from datetime import timedelta
from pathlib import Path
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

from tests.chromium import HOW_TO_INSTALL, chromium_path

HEIGHT = 900
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


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.screenshots", description=__doc__)
    parser.add_argument("--width", type=int, nargs="*", default=[1440], help="widths in pixels")
    parser.add_argument("--folder", type=Path, default=Path("screenshots"))
    parser.add_argument("--page", nargs="*", help="names of pages; default: all")
    options = parser.parse_args(arguments)
    chromium = chromium_path()
    if chromium is None:
        print(f"Chromium is not installed; {HOW_TO_INSTALL}", file=sys.stderr)
        return 1
    with sample_site() as (url, pages, cookie):
        if unknown := set(options.page or ()) - set(pages):
            parser.error(f"unknown page {', '.join(sorted(unknown))}; known: {', '.join(pages)}")
        chosen = {name: pages[name] for name in options.page or pages}
        take_pictures(chromium, url, chosen, cookie, options)
    return 0


@contextmanager
def sample_site() -> Iterator[tuple[str, dict[str, str], dict[str, str]]]:
    """Yields the URL of the site, its pages by name, and the session cookie of a user."""
    with tempfile.TemporaryDirectory(prefix="synclog-pictures-") as folder:
        prepare(Path(folder))
        # These imports load Django's settings, which `prepare` has set.
        from django.conf import settings
        from django.contrib.staticfiles.handlers import StaticFilesHandler
        from django.core.handlers.wsgi import WSGIHandler
        from django.test import Client

        pages, user = fill()
        client = Client()
        client.force_login(user)
        server = make_server("127.0.0.1", 0, StaticFilesHandler(WSGIHandler()), handler_class=Silent)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        session = client.cookies[settings.SESSION_COOKIE_NAME].value
        try:
            yield url, pages, {"name": settings.SESSION_COOKIE_NAME, "value": session, "url": url}
        finally:
            server.shutdown()


class Silent(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - so named by the base class
        """Logs nothing."""


def prepare(folder: Path) -> None:
    """Configures Django and creates a migrated database in this folder."""
    for name in [name for name in os.environ if name.startswith(("SYNCLOG_", "DATABASE_URL", "AWS_"))]:
        del os.environ[name]
    os.environ |= {
        "SYNCLOG_DATA_DIR": str(folder),
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "DJANGO_DEBUG": "1",
        "DJANGO_ALLOW_ASYNC_UNSAFE": "true",
    }
    (folder / "static").mkdir()
    import django
    from django.conf import settings

    settings.STORAGES["staticfiles"] = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
    settings.LOGGING = {"version": 1}
    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)


def fill() -> tuple[dict[str, str], Any]:
    """Creates services with runs; returns the pages by name, and the user."""
    from django.utils import timezone

    from apps.audit.changes import field_values
    from apps.audit.recording import record_change
    from apps.runs.models import HousekeepingJob, Level, Run, Step
    from tests import factories

    random.seed(10045)
    now = timezone.now()
    ada = factories.make_user("ada", first_name="Ada", is_superuser=True, password="ada")
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
        make_history(service, number, ada, now)
    factories.make_service(
        name="Payroll export",
        slug="payroll-export",
        kind="reported",
        source_connection=None,
        destination_connection=None,
    )
    busy = factories.make_run(
        services[0], status=Run.Status.RUNNING, started_by=ada, pulled_count=1204, pushed_count=1180,
        started_at=now - timedelta(seconds=52), store_pull=True, store_push=True,
    )  # fmt: skip
    pulled_lines = [f"Page {page}: 100 records pulled from shop in 0.{page + 20} s" for page in range(1, 9)]
    factories.make_log_entries(busy, ["Run started by Ada: store pull and push payloads", *pulled_lines])
    factories.make_log_entries(
        busy, ["Order 10045 has no delivery address"], level=Level.WARNING, step=Step.SCRIPT
    )
    factories.make_log_entries(busy, ["100 records pushed to warehouse"] * 4, step=Step.PUSH)
    factories.make_payload(busy, sequence=2, name="page-1.json")
    failed = services[1].runs.filter(status="failed").latest("id")
    # The counts of the log lines replace the random counts.
    failed.warning_count = failed.error_count = 0
    factories.make_log_entries(failed, pulled_lines)
    [line] = factories.make_log_entries(failed, [failed.error], level=Level.ERROR, step=Step.SCRIPT)
    failed.error_sequence = line.sequence
    failed.save(update_fields=["error_sequence"])
    factories.make_payload(failed, sequence=3, name="page-2.json")
    refusing = make_records(services[0])
    for job in ("queue_due_runs", "close_lost_runs", "delete_expired_payloads", "prune_logs"):
        HousekeepingJob.record_run(job)
    alerts = make_alerts(services, failed, ada, now)
    before = field_values(services[0])
    services[0].schedule, services[0].max_attempts = "*/10 * * * *", 3
    record_change(ada, services[0], before)
    first = services[0].pk
    pages = {
        "home": "/admin/",
        "services": "/admin/services/service/",
        "summary": f"/admin/services/service/{first}/runs/",
        "run-service": f"/admin/services/service/{first}/run/",
        "settings": f"/admin/services/service/{first}/change/",
        "log-running": f"/admin/runs/run/{busy.pk}/log/",
        "log-failed": f"/admin/runs/run/{failed.pk}/log/",
        "runs": "/admin/runs/run/",
        "records": "/admin/records/",
        "records-of-run": f"/admin/records/?run={refusing.pk}&outcome=refused",
        "records-nothing": "/admin/records/?key=4711*&outcome=refused",
        "records-wrong-filter": "/admin/records/?outcome=lost&run=abc",
        "record-history": "/admin/records/?key=10045",
        "preview-record": f"/admin/runs/run/{refusing.pk}/payloads/{refusing.payloads.get().pk}/preview/"
        "?record=10045#record",
        "resync": f"/admin/records/resync/?run={refusing.pk}&outcome=refused",
        "problems": "/admin/problems/",
        "problem": f"/admin/problems/{alerts['problem'].pk}/",
        "incidents": "/admin/alerts/incident/",
        "incident": f"/admin/alerts/incident/{alerts['incident'].pk}/change/",
        "rules": "/admin/alerts/rule/",
        "rule": f"/admin/alerts/rule/{alerts['rule'].pk}/change/",
        "rule-add": "/admin/alerts/rule/add/",
        "channels": "/admin/alerts/channel/",
        "channel": f"/admin/alerts/channel/{alerts['channel'].pk}/change/",
        "channel-add": "/admin/alerts/channel/add/",
        "deliveries": "/admin/alerts/delivery/",
        "delivery": f"/admin/alerts/delivery/{alerts['delivery'].pk}/change/",
        "maintenance-windows": "/admin/alerts/maintenancewindow/",
        "maintenance-window-add": "/admin/alerts/maintenancewindow/add/",
        "connections": "/admin/services/connection/",
        "payloads": "/admin/runs/payload/",
        "audit": "/admin/audit/",
        "time-zone": "/admin/time-zone/",
        "nothing-ran": f"/admin/services/service/{services[7].pk}/runs/?period=1h",
        "search": "/admin/search/?q=1004*",
        "search-part": "/admin/search/?q=ware",
        "search-nothing": "/admin/search/?q=7777*",
        "search-empty": "/admin/search/",
        "users": "/admin/auth/user/",
        "help": "/admin/help/schedules/",
        "help-search": "/admin/help/?q=payload",
    }
    return pages, ada


def make_records(service: Any) -> Any:
    """Creates records of the last runs of the service, some refused and later resolved; returns a run that refused."""
    from apps.runs.models import Payload, Record, Step
    from tests import factories

    outcomes = (
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
    *_others, refusing, latest = service.runs.filter(status="succeeded").order_by("id")[:700]
    keys = [*range(10030, 10060), "A-3/2026", "éclair – 12", "a-rather-long-key-of-a-record-" * 4]
    for run, places in ((refusing, (0, 0, 0, 1, 2, 3, 3, 4)), (latest, (0,))):
        for index, key in enumerate(keys[:18] if run == latest else keys):
            place = 3 if key == 10045 and run == refusing else places[index % len(places)]
            factories.make_record(run, key=str(key), page=index // 10 + 1, **outcomes[place])
        run.refused_count = run.records.filter(outcome=Record.Outcome.REFUSED).count()
        run.pulled_count, run.pushed_count = (
            len(keys),
            run.records.filter(outcome=Record.Outcome.PUSHED).count(),
        )
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


def make_alerts(services: list[Any], failed: Any, user: Any, now: Any) -> dict[str, Any]:
    """Creates problems, incidents with their messages, channels and rules; returns one of each for its page."""
    from apps.alerts.incidents.changes import Failure, record_failure
    from apps.alerts.models import Delivery, Incident, MaintenanceWindow, Problem
    from apps.alerts.problems.changes import assign, set_note, set_state
    from apps.alerts.problems.recurrence import note_occurrences
    from apps.runs.models import Level, Run, RunProblem
    from tests import factories

    messages = (
        (1, "transform: record 10045 has no “iban” (line 4 of the script)", Level.ERROR),
        (5, "POST https://billing.example/readings: 503 Service Unavailable", Level.ERROR),
        (0, "Order 10045 has no delivery address", Level.WARNING),
    )
    for number, message, level in messages:
        for run in services[number].runs.filter(status=Run.Status.FAILED if number else Run.Status.SUCCEEDED)[
            :80
        ]:
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

    mail = factories.make_channel(
        name="ops-mail", to=["ops@shop.example", "night@shop.example"], last_sent_at=now
    )
    pager = factories.make_channel(
        name="pager", kind="webhook", url="https://pager.example/in", secret_env="PAGER_SECRET",
    )  # fmt: skip
    pager.record_failure(now - timedelta(minutes=20), "The environment variable PAGER_SECRET is not set.")
    factories.make_channel(name="ops-chat", kind="apprise", secret_env="OPS_CHAT_URL", is_active=False)
    events = ("failed", "recovered", "late", "lost", "problem")
    everything = factories.make_rule(
        name="Everything by mail", events=events, channels=[mail], no_success_for_hours=6
    )
    rule = factories.make_rule(
        *services[1:4], name="Finance at night", events=events[:3], channels=[mail, pager],
        quiet_from=clock(22), quiet_until=clock(6), timezone="Europe/London", daily_reminder=True,
    )  # fmt: skip
    incident = None
    for number in (5, 1):
        run = services[number].runs.filter(status=Run.Status.FAILED).latest("id")
        failure = Failure(
            Incident.Kind.FAILED,
            services[number].pk,
            run.error,
            run=run,
            url=f"/admin/runs/run/{run.pk}/log/",
        )
        incident = record_failure(failure, [everything], now - timedelta(minutes=30 * number))
    factories.make_incident(
        services[3],
        kind=Incident.Kind.LATE,
        opened_at=now - timedelta(days=2),
        closed_at=now - timedelta(hours=40),
    )
    delivery = Delivery.objects.filter(channel=mail).latest("id")
    delivery.claim(now, timedelta(minutes=5))
    delivery.record_success(now)
    MaintenanceWindow.objects.create(
        service=services[2],
        starts_at=now + timedelta(hours=3),
        ends_at=now + timedelta(hours=5),
        reason="New version",
    )
    return {"problem": problem, "incident": incident, "rule": rule, "channel": pager, "delivery": delivery}


def make_history(service: Any, number: int, user: Any, now: Any) -> None:
    """Creates runs of the last thirty days, more for services that run often."""
    from apps.runs.models import Run
    from tests import factories

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


def take_pictures(
    chromium: str, url: str, pages: dict[str, str], cookie: dict[str, str], options: Any
) -> None:
    from playwright.sync_api import sync_playwright

    options.folder.mkdir(exist_ok=True)
    began = time.monotonic()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        for width in options.width:
            for scheme in ("light", "dark"):
                context = browser.new_context(
                    viewport={"width": width, "height": HEIGHT}, color_scheme=scheme, base_url=url
                )
                page = context.new_page()
                page.goto("/admin/login/")
                page.screenshot(path=options.folder / f"login-{width}-{scheme}.png")
                context.add_cookies([cookie])
                for name, address in pages.items():
                    page.goto(address)
                    page.screenshot(path=options.folder / f"{name}-{width}-{scheme}.png")
                context.close()
        browser.close()
    count = len(list(options.folder.glob("*.png")))
    print(f"{count} pictures in {options.folder}/, {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
