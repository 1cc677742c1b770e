import pytest
from django.contrib.auth.models import Group
from django.test import Client
from django.urls import reverse

from tests.factories import make_log_entries, make_payload, make_run, make_service, make_user

pytestmark = pytest.mark.django_db
STAFF = (
    "services.view_service",
    "runs.view_run",
    "runs.start_run",
    "runs.cancel_run",
    "runs.download_payload",
)


def test_pages_of_a_service_of_another_group_are_not_there(client: Client) -> None:
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


def test_member_of_the_group_sees_the_service(client: Client) -> None:
    finance = Group.objects.create(name="Finance")
    service = make_service(groups=[finance])
    client.force_login(make_user(permissions=STAFF, groups=[finance]))

    assert client.get(reverse("admin:services_service_runs", args=[service.pk])).status_code == 200


def test_log_needs_the_permission_to_view_runs(client: Client) -> None:
    run = make_run()
    client.force_login(make_user(permissions=["services.view_service"]))

    assert client.get(reverse("admin:runs_run_log", args=[run.pk])).status_code == 403
    assert client.get(reverse("admin:runs_run_feed", args=[run.pk])).status_code == 403


def test_runs_cannot_be_added_changed_or_deleted_even_by_a_superuser(client: Client) -> None:
    run = make_run()
    client.force_login(make_user(is_superuser=True))

    assert client.get("/admin/runs/run/add/").status_code == 403
    assert client.post(f"/admin/runs/run/{run.pk}/delete/", {"post": "yes"}).status_code == 403
    assert client.get(f"/admin/runs/run/{run.pk}/change/")["Location"] == f"/admin/runs/run/{run.pk}/log/"
