"""Error pages have the layout of the console and the language of the request."""

import pytest
from django.test import Client, RequestFactory
from django.utils import timezone
from django.views.defaults import server_error

from tests.factories import make_payload, make_user


@pytest.mark.django_db
def test_missing_run_shows_translated_not_found_page(client: Client) -> None:
    client.force_login(make_user(is_superuser=True))

    response = client.get("/admin/runs/run/4711/log/", headers={"accept-language": "de"})

    assert response.status_code == 404
    assert "Seite nicht gefunden" in response.content.decode()
    assert 'href="/admin/"' in response.content.decode()


@pytest.mark.django_db
def test_missing_permission_shows_error_page(client: Client) -> None:
    payload = make_payload()
    client.force_login(make_user(permissions=["runs.view_run"]))

    response = client.get(f"/admin/runs/run/{payload.run_id}/payloads/{payload.pk}/preview/")

    assert response.status_code == 403
    assert "Permission denied" in response.content.decode()


def test_internal_error_page_works_without_database(rf: RequestFactory) -> None:
    response = server_error(rf.get("/admin/"))

    assert response.status_code == 500
    assert "Internal error" in response.content.decode()
    assert f"tell an administrator the time: {timezone.now():%Y-%m-%d %H:}" in response.content.decode()
    assert '<a class="btn btn-primary" href="">Try again</a>' in response.content.decode()
    assert "console/ui/tokens.css" in response.content.decode()
