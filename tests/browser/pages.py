"""Sample data for every page of the console, and the URLs of all pages."""

from datetime import timedelta

from django.contrib import admin
from django.contrib.auth.models import Group
from django.urls import reverse
from django.utils import timezone

from apps.runs.models import Level, Payload, Record, Run
from apps.services.models import Service
from tests.factories import (
    make_connection,
    make_incident,
    make_log_entries,
    make_payload,
    make_problem,
    make_record,
    make_rule,
    make_run,
    make_run_problem,
    make_service,
    make_token,
)


def create_data() -> Service:
    """Creates and returns a service with runs in several states, and further services."""
    now = timezone.now()
    service = make_service(
        name="Orders to warehouse",
        schedule="*/15 * * * *",
        next_run_at=now,
        source_connection=make_connection(name="legacy-erp-of-the-northern-subsidiary-production-2"),
        destination_connection=make_connection(name="group-wide-warehouse-management-platform-eu-1"),
    )
    for version in range(1, 4):
        service.set_script(
            "def transform(records):\n" + f"    return records[:{version}]  # {'x' * 300}\n" * version
        )
    failed = make_run(service, store_pull=True, status=Run.Status.FAILED, error="Connection refused " * 20)
    make_log_entries(failed, ["word " * 60, "x" * 900, "\x1b[31mred\x1b[0m"])
    make_log_entries(failed, ["It failed"], level=Level.ERROR)
    make_run_problem(failed, "It failed " + "x" * 150, first_sequence=4, last_sequence=4, count=17)
    make_problem(service, "It failed " + "x" * 150)
    make_rule(service)
    make_incident(service, detail="It failed " + "x" * 150)
    make_payload(failed, sequence=2, name="a-rather-long-name-of-a-file-that-was-pulled-page-1.json")
    for key in ("10045", "k" * 190):
        make_record(failed, key=key, outcome=1, message="unknown sku " * 30)
    make_run(service, started_at=now - timedelta(days=3), warning_count=2, pulled_count=120, pushed_count=118)
    make_log_entries(make_run(service, status=Run.Status.RUNNING, pulled_count=1200), 5)
    make_run(make_service(name="Broken"), status=Run.Status.LOST, error="Its worker died")
    make_service(name="Paused", is_active=False, paused_at=now, pause_after_failures=3)
    make_service(name="Payroll", kind="reported", source_connection=None, destination_connection=None)
    make_records(failed)
    for number in range(8):
        make_run(make_service(name=f"Service {number}"), status=Run.Status.QUEUED)
    Group.objects.create(name="Support")
    make_token()
    return service


def make_records(run: Run) -> None:
    """Creates a record with each outcome, one of them with a long key and a long reason, and a payload with them."""
    long_key = "a-rather-long-key-of-a-record-without-spaces-" * 4
    for number, outcome in enumerate(Record.Outcome):
        make_record(run, key=f"2004{number}", outcome=outcome, sequence=number + 1)
    make_record(run, key=long_key, outcome=Record.Outcome.REFUSED, message="unknown-sku" * 40)
    make_record(key="20040")
    make_payload(run, b'[{"id": 20040, "note": "x"}]', name="pull-page-00001.json", sequence=1)
    run.refused_count = 2
    run.save(update_fields=["refused_count"])


def main_pages(service: Service) -> dict[str, str]:
    """Returns the URLs of the main pages by name."""
    failed = service.runs.get(status=Run.Status.FAILED)
    return {
        "home": "/admin/",
        "services": "/admin/services/service/",
        "summary": f"/admin/services/service/{service.pk}/runs/",
        "log": f"/admin/runs/run/{failed.pk}/log/",
        "run service": f"/admin/services/service/{service.pk}/run/",
        "script versions": f"/admin/services/service/{service.pk}/scripts/",
        "records": "/admin/records/",
        "history of a record": "/admin/records/?key=20040",
        "resync": f"/admin/records/resync/?run={failed.pk}&outcome=refused",
    }


def preview_at_record(service: Service) -> str:
    payload = Payload.objects.get(run__service=service, name="pull-page-00001.json")
    return f"/admin/runs/run/{payload.run_id}/payloads/{payload.pk}/preview/?record=20040#record"


def filtered_pages(service: Service) -> list[str]:
    """Returns the URLs of pages with a query: other periods, no result, and wrong input."""
    return [
        "/admin/services/service/?q=nothing-like-it",
        f"/admin/services/service/{service.pk}/runs/?period=custom&days=90",
        *(f"/admin/search/?q={text}" for text in ("nothing", "k*", "connection", "x" * 1001)),
        "/admin/records/?key=20040*&outcome=refused&period=any",
        "/admin/records/?outcome=lost&run=x",
        "/admin/records/?key=nothing",
        "/admin/audit/?kind=user&period=1h",
        "/admin/audit/?object=nothing&user=nobody",
        "/admin/problems/?state=muted",
    ]


def all_pages(service: Service) -> list[str]:
    """Returns the URLs of the main pages, of a list and a form of every registered model, and of the account pages.

    Pages that differ only in names are there once: the history, the page before a deletion and the form of a new row.
    """
    unused = Service.objects.get(name="Paused")
    addresses = [
        *main_pages(service).values(),
        f"/admin/services/service/{unused.pk}/runs/",
        f"/admin/services/service/{unused.pk}/scripts/",
        f"/admin/services/service/{unused.pk}/delete/",
        "/admin/services/service/add/",
        f"/admin/services/service/{service.pk}/history/",
        f"/admin/runs/run/{service.runs.get(status=Run.Status.RUNNING).pk}/log/",
        "/admin/search/?q=",
        "/admin/search/?q=a*",
        "/admin/records/resync/",
        preview_at_record(service),
        "/admin/audit/",
        "/admin/problems/",
        reverse("admin:problems_problem", args=[service.problems.get().pk]),
        "/admin/password_change/",
        "/admin/account/sessions/",
        "/admin/time-zone/",
        "/admin/services/",
    ]
    for model in admin.site._registry:
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        addresses.append(reverse(f"{name}_changelist"))
        row = model._default_manager.order_by("pk").first()
        addresses.append(reverse(f"{name}_change", args=[row.pk]) if row else reverse(f"{name}_add"))
    return list(dict.fromkeys(addresses))
