"""Payload pages of the admin: access log, permissions, list."""

import pytest
from django.contrib.auth.models import Group
from django.test import Client
from django.utils import timezone

from apps.runs.models import PayloadRead
from tests.factories import make_payload, make_run, make_service, make_user

pytestmark = pytest.mark.django_db
STAFF = ("services.view_service", "runs.view_run", "runs.view_payload")


def test_payload_page_shows_access_log(client: Client) -> None:
    payload = make_payload(name="<b>.json")
    reader = make_user("grace")
    PayloadRead.objects.create(
        payload=payload,
        user=reader,
        token="nightly (synclog_abcd…)",
        address="192.0.2.7",
        outcome="complete",
        byte_count=11,
    )
    client.force_login(make_user(permissions=STAFF))

    shown = client.get(f"/admin/runs/payload/{payload.pk}/change/").content.decode()

    for text in ("Access log", "grace", "nightly (synclog_abcd…)", "192.0.2.7", "Complete", payload.sha256):
        assert text in shown
    assert "&lt;b&gt;.json" in shown
    assert "<b>.json" not in shown


def test_payload_page_without_reads_shows_message(client: Client) -> None:
    payload = make_payload()
    client.force_login(make_user(permissions=STAFF))

    shown = client.get(f"/admin/runs/payload/{payload.pk}/change/").content.decode()

    assert "No reads yet." in shown
    assert "<table" not in shown


def test_payloads_are_read_only(client: Client) -> None:
    payload = make_payload(status="deleted", deleted_at=timezone.now())
    client.force_login(make_user(is_superuser=True))

    assert client.get("/admin/runs/payload/add/").status_code == 403
    assert client.post(f"/admin/runs/payload/{payload.pk}/change/", {"name": "x"}).status_code == 403
    assert client.post(f"/admin/runs/payload/{payload.pk}/delete/", {"post": "yes"}).status_code == 403
    assert "action" not in client.get("/admin/runs/payload/").context["cl"].list_display


def test_payloads_of_another_group_are_not_found(client: Client) -> None:
    service = make_service(groups=[Group.objects.create(name="Finance")])
    hidden, seen = make_payload(make_run(service), name="hidden.json"), make_payload(name="seen.json")
    client.force_login(make_user(permissions=STAFF))

    shown = client.get("/admin/runs/payload/").content.decode()

    assert "seen.json" in shown
    assert "hidden.json" not in shown
    assert client.get(f"/admin/runs/payload/{seen.pk}/change/").status_code == 200
    assert client.get(f"/admin/runs/payload/{hidden.pk}/change/").status_code == 302


def test_payload_list_shows_local_times(client: Client) -> None:
    payload = make_payload()
    client.force_login(make_user(permissions=STAFF))

    shown = client.get("/admin/runs/payload/").content.decode()

    assert f'<time datetime="{payload.created_at.isoformat()}" data-moment' in shown


@pytest.mark.parametrize("count", [1, 3])
def test_payload_list_takes_a_constant_query_count(client, django_assert_num_queries, count):
    client.force_login(make_user(is_superuser=True))
    for _ in range(count):
        make_payload()
    client.get("/admin/runs/payload/")

    with django_assert_num_queries(4):
        client.get("/admin/runs/payload/")


@pytest.mark.parametrize("page", ["run", "payload"])
@pytest.mark.parametrize(("rows", "text"), [(1, "1 {}"), (2, "2 {}s"), (3, "2+ {}s")])
def test_list_count_is_limited(
    client: Client, monkeypatch: pytest.MonkeyPatch, page: str, rows: int, text: str
) -> None:
    monkeypatch.setattr("apps.console.ui.paging.MAX_COUNT", 2)
    for _number in range(rows):
        make_payload(run=make_run())
    client.force_login(make_user(permissions=STAFF))

    shown = client.get(f"/admin/runs/{page}/").content.decode()

    assert " ".join(shown.split('class="paginator"')[1].split("</nav>")[0].split()).endswith(
        text.format(page)
    )
