"""Services of other groups, their runs and connections are visible on no page."""

import re
from datetime import timedelta

import pytest
from django.contrib.auth.models import Group, Permission
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from apps.runs.models import Run
from apps.services.models import Service
from tests.factories import (
    make_connection,
    make_log_entries,
    make_payload,
    make_record,
    make_run,
    make_service,
    make_token,
    make_user,
)

pytestmark = pytest.mark.django_db
STAFF = (
    "services.view_service",
    "runs.view_run",
    "runs.start_run",
    "runs.cancel_run",
    "runs.download_payload",
)


def test_pages_of_another_groups_service_are_not_found(client: Client) -> None:
    service = make_service(name="Hidden one", groups=[Group.objects.create(name="Finance")])
    run = make_run(service, store_pull=True)
    make_log_entries(run)
    payload = make_payload(run)
    client.force_login(make_user(permissions=STAFF))

    pages = [
        reverse("admin:services_service_runs", args=[service.pk]),
        reverse("admin:services_service_run", args=[service.pk]),
        reverse("admin:runs_run_log", args=[run.pk]),
        reverse("admin:runs_run_feed", args=[run.pk]),
        reverse("admin:runs_run_text", args=[run.pk]),
        reverse("admin:runs_run_payload", args=[run.pk, payload.pk]),
    ]

    assert [client.get(page).status_code for page in pages] == [404] * 6
    assert client.post(reverse("admin:runs_run_cancel", args=[run.pk])).status_code == 404
    for listing in ("/admin/", "/admin/services/service/", "/admin/runs/run/"):
        assert "Hidden one" not in client.get(listing).content.decode()


def test_group_member_sees_the_service(client: Client) -> None:
    finance = Group.objects.create(name="Finance")
    service = make_service(groups=[finance])
    client.force_login(make_user(permissions=STAFF, groups=[finance]))

    assert client.get(reverse("admin:services_service_runs", args=[service.pk])).status_code == 200


def test_log_requires_permission_to_view_runs(client: Client) -> None:
    run = make_run()
    client.force_login(make_user(permissions=["services.view_service"]))

    assert client.get(reverse("admin:runs_run_log", args=[run.pk])).status_code == 403
    assert client.get(reverse("admin:runs_run_feed", args=[run.pk])).status_code == 403


def test_runs_are_read_only_for_superusers(client: Client) -> None:
    run = make_run()
    client.force_login(make_user(is_superuser=True))

    assert client.get("/admin/runs/run/add/").status_code == 403
    assert client.post(f"/admin/runs/run/{run.pk}/delete/", {"post": "yes"}).status_code == 403
    assert client.get(f"/admin/runs/run/{run.pk}/change/")["Location"] == f"/admin/runs/run/{run.pk}/log/"


# --- No page shows data that is limited to other groups ---

# All hidden data contains this number or word; `pages_from` removes thousands separators.
NUMBER = 987654
SECRET = re.compile(rf"(?i)concealed[- .]|/{NUMBER}|>{NUMBER}<|{NUMBER} ")


@pytest.fixture
def concealed() -> Service:
    """A service of another group with one object of each kind that a page might show."""
    finance = Group.objects.create(name="Finance")
    service = make_service(
        name="Concealed payroll",
        slug="concealed-payroll",
        groups=[finance],
        source_connection=make_connection(name="concealed-bank"),
        destination_connection=make_connection(name="concealed-ledger"),
        schedule="*/15 * * * *",
        next_run_at=timezone.now() - timedelta(hours=1),
        script="concealed = 1",
    )
    counts = dict.fromkeys(("pulled_count", "pushed_count", "warning_count", "error_count"), NUMBER)
    make_run(service, pk=NUMBER, status=Run.Status.RUNNING, **counts)
    failed = make_run(service, status=Run.Status.FAILED, error="Concealed error", store_pull=True, **counts)
    make_log_entries(failed, ["Concealed line"])
    make_record(failed, key="concealed-1", message="Concealed refusal")
    make_payload(failed, sequence=1, name="concealed.json")
    make_service(name="Concealed pause", groups=[finance], is_active=False, paused_at=timezone.now())
    return service


@pytest.fixture
def limited(client: Client) -> Client:
    """A client of a user with all permissions for services and runs, but limited to its groups."""
    apps = ("services", "runs", "api")
    permissions = Permission.objects.filter(content_type__app_label__in=apps)
    client.force_login(
        make_user(permissions=[f"{one.content_type.app_label}.{one.codename}" for one in permissions])
    )
    return client


def pages_from(client: Client, *addresses: str) -> dict[str, str]:
    """Returns the contents of these pages and of all console pages that they link to, by URL."""
    waiting, texts = list(addresses), {}
    while waiting:
        address = waiting.pop()
        texts[address] = client.get(address).getvalue().decode().replace(",", "")
        links = re.findall(r'(?:href|data-feed|data-find)="(/admin/[^"?#]*)', texts[address])
        waiting += set(links) - {*texts, *waiting, "/admin/logout/"}
    return texts


def test_no_page_shows_data_of_another_groups_service(limited: Client, concealed: Service) -> None:
    own = make_run(make_service(name="Orders"), store_pull=True)
    make_log_entries(own)
    make_payload(own, sequence=1)
    make_token(make_user(), name="concealed token")
    lists = ("services/service", "services/connection", "runs/run", "runs/payload", "api/apitoken")

    pages = pages_from(
        limited,
        "/admin/",
        *(f"/admin/{name}/?q={words}" for name in lists for words in ("concealed", NUMBER)),
        *(f"/admin/search/?q={text}" for text in ("concealed*", "concealed", NUMBER)),
        *(f"/admin/services/service/{own.service_id}/run/?{name}={NUMBER}" for name in ("retry_of", "like")),
        "/admin/runs/run/?period=any",
    )

    assert f"/admin/runs/run/{own.pk}/log/" in pages
    assert len(pages) > 30
    assert {address: SECRET.findall(text) for address, text in pages.items() if SECRET.search(text)} == {}


def test_connection_is_visible_with_its_services_or_if_unused(limited: Client, concealed: Service) -> None:
    hidden, shared = concealed.source_connection, concealed.destination_connection
    make_service(source_connection=shared, destination_connection=shared)
    unused = make_connection()

    listed = limited.get("/admin/services/connection/").context["cl"].result_list
    form = limited.get("/admin/services/service/add/").context["adminform"].form

    counts = {connection: connection.service_count for connection in listed}
    assert counts == {shared: 1, unused: 0}
    for field in ("source_connection", "destination_connection"):
        assert set(form.fields[field].queryset) == {shared, unused}
    for view in ("change", "history", "delete"):
        address = reverse(f"admin:services_connection_{view}", args=[hidden.pk])
        assert limited.get(address)["Location"] == "/admin/"
