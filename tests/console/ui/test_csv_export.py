"""CSV of every list: filtered, visible rows only, safe in a spreadsheet."""

import csv
import io
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.test import Client
from django.utils import timezone

from apps.runs.models import Run
from tests.factories import make_connection, make_payload, make_run, make_service, make_token, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def staff(client: Client) -> Client:
    client.force_login(make_user(is_superuser=True))
    return client


def rows(client: Client, url: str) -> list[dict[str, str]]:
    """The CSV that the link of the list leads to."""
    path, _mark, query = url.partition("?")
    response: Any = client.get(f"{path}csv/?{query}")
    assert response["Content-Type"] == "text/csv; charset=utf-8"
    text = response.getvalue().decode("utf-8-sig")
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_every_list_exports_its_rows(staff: Client) -> None:
    service = make_service(
        slug="orders",
        source_connection=make_connection(name="shop", url="sftp://me:secret@host/in", kind="file"),
    )
    run = make_run(service, started_at=datetime(2026, 1, 31, 9, 5, tzinfo=UTC), status=Run.Status.FAILED)
    payload = make_payload(run, name="=cmd")
    make_token(name="+1")

    assert (
        rows(staff, "/admin/runs/run/?period=any")[0]
        | {
            "run": str(run.pk),
            "service": "orders",
            "status": "failed",
            "dry run": "no",
            "started at (UTC)": "2026-01-31 09:05:00",
        }
        == rows(staff, "/admin/runs/run/?period=any")[0]
    )
    [row] = rows(staff, "/admin/services/service/")
    assert (row["slug"], row["source connection"], row["last run"]) == ("orders", "shop", str(run.pk))
    [row] = rows(staff, "/admin/runs/payload/")
    assert (row["id"], row["name"], row["status"]) == (str(payload.pk), "'=cmd", "stored")
    [row] = rows(staff, "/admin/services/connection/?q=shop")
    assert "secret" not in row["URL"]
    [row] = rows(staff, "/admin/api/apitoken/")
    assert (row["name"], row["state"]) == ("'+1", "active")


def test_export_has_the_filters_and_the_order_of_the_list_but_all_pages(staff: Client) -> None:
    runs = [
        make_run(status=Run.Status.FAILED, started_at=timezone.now() - timedelta(minutes=age))
        for age in range(60)
    ]
    make_run(started_at=timezone.now())
    url = "/admin/runs/run/?status__exact=failed&p=2"

    assert 'href="csv/?status__exact=failed" download' in staff.get(url).content.decode()
    exported = rows(staff, "/admin/runs/run/?status__exact=failed")
    assert [row["run"] for row in exported] == [str(run.pk) for run in runs]


def test_export_of_a_summary_merges_runs_that_never_started(staff: Client) -> None:
    now, service = timezone.now(), make_service(slug="orders")
    older = make_run(service, started_at=now - timedelta(hours=3))
    queued = make_run(service, status=Run.Status.QUEUED, started_at=None, queued_at=now - timedelta(hours=2))
    newer = make_run(service, started_at=now - timedelta(hours=1))
    make_run(service, started_at=now - timedelta(hours=25))
    make_run()
    url = f"/admin/services/service/{service.pk}/runs/"

    assert f'href="{url}csv/?period=24h' in staff.get(url).content.decode()
    assert [int(row["run"]) for row in rows(staff, url)] == [newer.pk, queued.pk, older.pk]
    assert [int(row["run"]) for row in rows(staff, f"{url}?order=oldest")] == [older.pk, queued.pk, newer.pk]
    assert [int(row["run"]) for row in rows(staff, f"{url}?q={older.pk}")] == [older.pk]


def test_export_contains_only_what_the_user_may_see(client: Client) -> None:
    hidden, visible = make_service(slug="hidden"), make_service(slug="visible")
    hidden.groups.add(Group.objects.create(name="Others"))
    make_run(hidden)
    make_run(visible)
    client.force_login(make_user(permissions=("services.view_service", "runs.view_run")))

    assert [row["slug"] for row in rows(client, "/admin/services/service/")] == ["visible"]
    assert [row["service"] for row in rows(client, "/admin/runs/run/")] == ["visible"]
    assert client.get(f"/admin/services/service/{hidden.pk}/runs/csv/").status_code == 404
    for forbidden in ("runs/payload", "services/connection", "api/apitoken"):
        assert client.get(f"/admin/{forbidden}/csv/").status_code == 403


def test_invalid_filter_leads_back_to_the_list(staff: Client) -> None:
    response = staff.get("/admin/runs/run/csv/?id=x")

    assert response.headers["Location"] == "/admin/runs/run/?e=1"
