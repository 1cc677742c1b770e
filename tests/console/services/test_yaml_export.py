"""Export as YAML in the console: who may, and what the file contains."""

import pytest
from django.contrib.auth.models import Group
from django.test import Client

from apps.services.definition.export import export_services
from apps.services.models import Service
from tests.factories import make_service, make_user

pytestmark = pytest.mark.django_db
LIST = "/admin/services/service/"
VIEW = ("services.view_service", "services.view_connection")


def test_one_service_is_downloaded(client: Client) -> None:
    service = make_service(
        slug="orders", name="Aufträge", script="def transform(records):\n    return records\n"
    )
    make_service()
    client.force_login(make_user(permissions=VIEW))

    response = client.get(f"{LIST}{service.pk}/export/")

    assert response["Content-Disposition"] == 'attachment; filename="orders.yaml"'
    assert response["Content-Type"] == "application/yaml; charset=utf-8"
    assert response.content.decode() == export_services(Service.objects.filter(pk=service.pk))
    assert "name: Aufträge\n" in response.content.decode()


def test_all_visible_services_are_downloaded(client: Client) -> None:
    make_service(slug="orders")
    hidden = make_service(slug="payroll", groups=[Group.objects.create(name="Finance")])
    client.force_login(make_user(permissions=VIEW))

    response = client.get(f"{LIST}export/")

    assert response["Content-Disposition"] == 'attachment; filename="services.yaml"'
    assert response.content.decode() == export_services(Service.objects.filter(slug="orders"))
    assert client.get(f"{LIST}{hidden.pk}/export/").status_code == 404


def test_export_is_offered_in_menu_settings_and_list(client: Client) -> None:
    service = make_service()
    client.force_login(make_user(permissions=VIEW))

    page = client.get(LIST).content.decode()
    settings = client.get(f"{LIST}{service.pk}/change/").content.decode()

    assert f'href="{LIST}export/">' in page
    assert f'<a href="{LIST}{service.pk}/export/">' in page
    assert f'href="{LIST}{service.pk}/export/">Export as YAML</a>' in settings


@pytest.mark.parametrize("permission", VIEW)
def test_export_requires_both_permissions(client: Client, permission: str) -> None:
    service = make_service()
    client.force_login(make_user(permissions=[permission]))

    assert client.get(f"{LIST}{service.pk}/export/").status_code == 403
    assert client.get(f"{LIST}export/").status_code == 403
    assert client.post(f"{LIST}export/").status_code in (403, 405)
