"""The period that was chosen last is that of the next visit."""

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from apps.runs.models import Run
from tests.factories import make_record, make_run, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def staff(client: Client) -> Client:
    client.force_login(make_user(is_superuser=True))
    return client


@pytest.fixture
def run() -> Run:
    return make_run(started_at=timezone.now() - timedelta(days=2))


def test_runs_and_summary_remember_their_period(staff: Client, run: Run) -> None:
    summary, runs = f"/admin/services/service/{run.service_id}/runs/", "/admin/runs/run/"
    assert staff.get(summary).context["query"].period.key == "24h"

    staff.get(summary, {"period": "7d", "days": "90"})

    context = staff.get(summary).context
    assert ([run.pk for run in context["page"].runs], context["links"].range.length) == ([run.pk], 90)
    assert staff.get(runs).context["cl"].result_count == 0
    staff.get(runs, {"period": "7d"})
    assert staff.get(runs).context["cl"].result_count == 1
    assert Client().get(runs).status_code == 302
    # Neither an invalid period nor a range of dates is remembered.
    staff.get(summary, {"period": "9y"})
    staff.get(summary, {"period": "custom", "from": "2026-01-01"})
    assert staff.get(summary).context["query"].period.key == "7d"
    staff.get(summary, {"period": "24h"})
    assert staff.get(summary).context["query"].period.key == "24h"


def test_records_remember_the_period_of_the_list_but_a_key_has_all_of_its_history(staff: Client) -> None:
    make_record(key="10045", recorded_at=timezone.now() - timedelta(days=3))
    staff.get("/admin/records/", {"period": "24h"})

    assert staff.get("/admin/records/").context["rows"] == []
    assert len(staff.get("/admin/records/", {"key": "10045"}).context["rows"]) == 1
    staff.get("/admin/records/", {"key": "10045", "period": "15d"})
    assert staff.get("/admin/records/").context["query"].period.key == "24h"


def test_audit_log_remembers_its_period(staff: Client) -> None:
    staff.get("/admin/audit/", {"period": "30d"})

    assert staff.get("/admin/audit/").context["query"].period.key == "30d"
    assert staff.get("/admin/audit/", {"period": "1h"}).context["query"].period.key == "1h"


def test_invalid_cookie_means_the_default(staff: Client, run: Run) -> None:
    for name in ("summary_period", "summary_days", "runs_period", "records_period", "audit_period"):
        staff.cookies[f"synclog_{name}"] = "x" * 200

    for url in (
        f"/admin/services/service/{run.service_id}/runs/",
        "/admin/runs/run/",
        "/admin/records/",
        "/admin/audit/",
    ):
        assert staff.get(url).status_code == 200
