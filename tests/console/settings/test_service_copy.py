"""Duplicate: the add form has the settings of another service, and saves nothing before Save."""

import pytest
from django.contrib.auth.models import Group
from django.forms import model_to_dict
from django.test import Client

from apps.console.settings.service_form import ServiceForm
from apps.services.definition.loading import load_services
from apps.services.definition.options import read_destination, read_source
from apps.services.models import Service
from tests.console.settings.test_service_form import SERVICES
from tests.factories import make_service, make_user

pytestmark = pytest.mark.django_db
COLUMNS = set(ServiceForm.Meta.fields) - {"name", "slug", "is_active", "since"}
LIST = "/admin/services/service/"


def page_of_copy(client: Client, service: Service) -> str:
    return f"{LIST}add/?copy_of={service.pk}"


def data_of(form: ServiceForm) -> dict[str, object]:
    """What a browser sends for the unchanged form."""
    data = {}
    for bound in form:
        shown = bound.field.prepare_value(bound.value())
        if isinstance(shown, list):
            shown = [getattr(item, "pk", item) for item in shown]
        if shown is not None and shown is not False:
            data[bound.html_name] = "on" if shown is True else shown
    return data


@pytest.mark.parametrize("slug", ["by-page", "by-cursor", "by-url", "files"])
def test_copy_has_the_settings_of_the_original(admin_client: Client, slug: str) -> None:
    load_services(SERVICES)
    original = Service.objects.get(slug=slug)
    original.groups.add(Group.objects.create(name="Finance"))
    Service.objects.filter(pk=original.pk).update(since="2026-01-01T00:00:00Z")
    url = page_of_copy(admin_client, original)

    form = admin_client.get(url).context["adminform"].form
    assert Service.objects.filter(slug__contains="copy").count() == 0
    response = admin_client.post(url, data_of(form))

    assert response.status_code == 302
    copy = Service.objects.get(slug=f"{slug}-copy")
    assert (copy.name, copy.is_active, copy.since) == (f"{original.name} (copy)", False, "")
    assert settings_of(copy) == settings_of(original)


def settings_of(service: Service) -> dict[str, object]:
    script = service.current_script()
    return model_to_dict(service, COLUMNS) | {
        "script": script.source if script else "",
        "source": read_source(service.source_connection.kind, service.source_options),
        "destination": read_destination(service.destination_connection.kind, service.destination_options),
    }


def test_slug_of_a_copy_is_free(admin_client: Client) -> None:
    long = make_service(slug="a" * 100, name="N" * 200)
    original = make_service(slug="orders")
    make_service(slug="orders-copy")
    make_service(slug="orders-copy-2")

    [name, slug] = initial(admin_client, original)
    assert (name, slug) == (f"{original.name} (copy)", "orders-copy-3")
    [name, slug] = initial(admin_client, long)
    assert (len(name), name[-8:]) == (200, "N (copy)")
    assert slug == "a" * 85 + "-copy"


def initial(client: Client, service: Service) -> list[str]:
    form = client.get(page_of_copy(client, service)).context["adminform"].form
    return [form.initial["name"], form.initial["slug"]]


def test_reported_service_is_duplicated(admin_client: Client) -> None:
    original = make_service(
        kind="reported", slug="payroll", source_connection=None, destination_connection=None
    )
    url = page_of_copy(admin_client, original)

    page = admin_client.get(url)
    response = admin_client.post(url, {"name": "Copy", "slug": "payroll-copy"})

    assert "source_connection" not in page.content.decode()
    assert response.status_code == 302
    copy = Service.objects.get(slug="payroll-copy")
    assert (copy.kind, copy.is_active) == ("reported", False)


def test_duplicate_requires_the_permission_to_add(client: Client) -> None:
    service = make_service()
    hidden = make_service(groups=[Group.objects.create(name="Finance")])
    menu = f'href="{LIST}add/?copy_of={service.pk}"'
    client.force_login(make_user(permissions=["services.view_service"]))

    assert menu not in client.get(LIST).content.decode()
    assert client.get(page_of_copy(client, service)).status_code == 403

    client.force_login(make_user(permissions=["services.view_service", "services.add_service"]))
    assert menu in client.get(LIST).content.decode()
    assert menu in client.get(f"{LIST}{service.pk}/change/").content.decode()
    assert client.get(page_of_copy(client, service)).status_code == 200
    for unknown in (hidden.pk, 10**6, 10**30, "x", "", "²"):
        assert client.get(f"{LIST}add/?copy_of={unknown}").status_code == 404
