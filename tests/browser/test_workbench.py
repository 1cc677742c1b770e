"""Workbench: the settings page of a service connects two systems and previews every step."""

import pytest
from playwright.sync_api import Page, expect

from apps.services.models import Connection, Service
from tests.factories import make_user
from tests.systems import service_between, systems

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.browser]

ORDERS = [{"id": 10_045 + number, "customer": f"Customer {number}"} for number in range(12)]


@pytest.fixture
def world():
    with systems(ORDERS) as served:
        yield served


def add_connection(page: Page, side: str, url: str) -> None:
    """Adds a connection in the window that the + opens: one field, two clicks."""
    with page.expect_popup() as popup:
        page.locator(f"#add_id_{side}_connection").click()
    popup.value.locator("[name=url]").fill(url)
    with popup.value.expect_event("close"):
        popup.value.locator("[name=_save]").click()


def preview(page: Page, step: str) -> None:
    page.locator(f"[aria-controls=trial-{step}][formaction*='/preview/']").click()
    expect(page.locator(f"#trial-{step} .trial-outcome")).to_be_visible()


def test_api_is_connected_to_a_folder_with_seven_clicks_and_five_fields(
    page: Page, log_in, world, tmp_path, settings
) -> None:
    settings.FILE_ROOTS = [tmp_path]
    log_in(page, make_user(is_superuser=True))
    page.goto("/admin/services/service/add/")

    page.locator("[name=name]").fill("Orders to folder")
    add_connection(page, "source", world.url)
    page.locator("[name=source_path]").fill("/orders?page=1&size=12")
    preview(page, "source")
    expect(page.locator("#trial-source")).to_contain_text("12 records")
    expect(page.locator("#trial-source tbody th").first).to_have_text("10045")
    add_connection(page, "destination", f"file://{tmp_path}/drop")
    page.locator("[name=destination_path]").fill("{run}.ndjson")
    preview(page, "destination")
    expect(page.locator("#trial-destination")).to_contain_text('{"id": 10045, "customer": "Customer 0"}')
    page.locator("[name=_save]").click()

    expect(page.locator(".messagelist")).to_contain_text("was added successfully")
    service = Service.objects.get()
    assert (service.slug, service.source_options) == ("orders-to-folder", {"path": "/orders?page=1&size=12"})
    assert service.destination_options == {"path": "{run}.ndjson"}
    assert set(Connection.objects.values_list("name", "kind")) == {
        (world.url.removeprefix("http://").replace(".", "-").replace(":", "-"), "http"),
        ("drop", "file"),
    }


def test_script_is_tried_and_its_error_stands_at_its_line(page: Page, log_in, world) -> None:
    service = service_between(world, script="def transform(records):\n    return records[3:]\n")
    log_in(page, make_user(is_superuser=True))
    page.goto(f"/admin/services/service/{service.pk}/change/")

    preview(page, "script")
    expect(page.locator("#trial-script")).to_contain_text(
        "3 records are not in the output: 10045, 10046, 10047"
    )

    service.set_script("def transform(records):\n    return records[99]\n")
    page.reload()
    preview(page, "script")
    expect(page.locator("#trial-script .trial-error")).to_contain_text("The script failed in line 2")
    expect(page.locator(".cm-error-message")).to_have_text("Index `99` is out of bound")
    expect(page.locator(".cm-error-line")).to_have_text("    return records[99]")

    service.set_script("# No list.\ndef transform(records):\n    return 5\n")
    page.reload()
    preview(page, "script")
    expect(page.locator(".cm-error-message")).to_have_text(
        "transform returned a value of type int; it must return a list of records"
    )
    expect(page.locator(".cm-error-line")).to_have_text("def transform(records):")
    assert world.received == []


def test_preview_of_a_hanging_source_can_be_cancelled(page: Page, log_in, world) -> None:
    service = service_between(world)
    world.may_respond.clear()
    log_in(page, make_user(is_superuser=True))
    page.goto(f"/admin/services/service/{service.pk}/change/")

    page.locator("[aria-controls=trial-source][formaction*='/preview/']").click()
    page.locator("#trial-source").get_by_role("button", name="Cancel").click()
    expect(page.locator("#trial-source")).to_contain_text("Cancelled")
