"""Settings forms in a real browser: fields that do not apply are hidden, and the schedule is described."""

import pytest
from django.contrib.sessions.models import Session
from playwright.sync_api import Page, expect

from apps.services.models import Connection, Service
from apps.services.private_key import read_private_key
from tests.factories import make_connection, make_rule, make_service, make_user
from tests.openssh import create_key

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.browser]


def shown(page: Page, *names: str) -> list[bool]:
    return [page.locator(f"[name={name}]").is_visible() for name in names]


def test_service_form_shows_only_applicable_fields(page: Page, log_in) -> None:
    http = make_connection(name="shop")
    drop = make_connection(name="drop", kind="file", url="s3://drop")
    service = make_service(source_connection=http, destination_connection=http)
    log_in(page, make_user(is_superuser=True))
    page.goto(f"/admin/services/service/{service.pk}/change/")
    of_page = ("source_pagination_page_param", "source_pagination_first")
    of_cursor = ("source_pagination_cursor", "source_pagination_param")

    assert shown(page, *of_page, *of_cursor, "source_page_size", "source_format") == [False] * 6
    page.locator("[name=source_pagination_type]").select_option("page")
    assert shown(page, *of_page, *of_cursor, "source_page_size") == [True, True, False, False, True]
    page.locator("[name=source_pagination_type]").select_option("cursor")
    assert shown(page, *of_page, *of_cursor) == [False, False, True, True]

    page.locator("[name=source_connection]").select_option(str(drop.pk))
    assert shown(page, *of_cursor, "source_pagination_type", "source_headers", "source_format") == (
        [False, False, False, False, True]
    )
    assert shown(page, "source_page_size") == [True]
    page.locator("[name=source_path]").fill("in/*.json")
    page.locator("[name=_save]").click()

    expect(page.locator(".messagelist")).to_contain_text("was changed successfully")
    assert Service.objects.get().source_options == {"path": "in/*.json"}


def test_edit_conflict_is_not_called_an_error_to_correct(page: Page, log_in) -> None:
    service = make_service(name="Orders")
    log_in(page, make_user(is_superuser=True))
    note = page.get_by_text("Please correct the error")
    page.goto(f"/admin/services/service/{service.pk}/change/")
    Service.objects.update(name="Changed meanwhile")

    page.locator("[name=name]").fill("Typed")
    page.locator("[name=_save]").click()
    expect(page.locator(".edit-conflict")).to_be_visible()
    expect(note).to_be_hidden()

    Service.objects.update(name="Changed again")
    page.locator("[name=schedule]").fill("never")
    page.locator("[name=_save]").click()
    expect(page.locator(".edit-conflict")).to_be_visible()
    expect(note).to_be_visible()


def test_new_service_shows_no_option_before_a_connection_is_chosen(page: Page, log_in) -> None:
    http = make_connection(name="shop")
    drop = make_connection(name="drop", kind="file", url="s3://drop")
    log_in(page, make_user(is_superuser=True))
    page.goto("/admin/services/service/add/")
    options = page.locator("[name^=source_]:visible, [name^=destination_]:visible")
    names = options.evaluate_all("(fields) => fields.map((field) => field.name)")

    assert names == ["source_connection", "destination_connection"]
    expect(page.get_by_text("More options of the source")).to_be_hidden()

    page.locator("[name=source_connection]").select_option(str(http.pk))
    expect(page.get_by_text("More options of the source")).to_be_visible()
    expect(page.locator(".fieldBox.field-source_path .help")).to_have_text(
        "Path below the connection's address, such as /orders.", use_inner_text=True
    )
    assert page.locator("[name=source_page_size]").get_attribute("placeholder") == "100"
    page.locator("[name=source_connection]").select_option(str(drop.pk))
    expect(page.locator(".fieldBox.field-source_path .help")).to_contain_text(
        "Files below the connection's folder"
    )
    assert page.locator("[name=source_page_size]").get_attribute("placeholder") == "1000"


def test_options_of_a_format_follow_the_suffix_of_the_path(page: Page, log_in) -> None:
    drop = make_connection(name="drop", kind="file", url="s3://drop")
    log_in(page, make_user(is_superuser=True))
    page.goto("/admin/services/service/add/")
    page.locator("[name=source_connection]").select_option(str(drop.pk))
    page.get_by_text("More options of the source").click()
    names = ("source_records", "source_csv_delimiter", "source_sheet", "source_xml_record")

    assert shown(page, *names) == [False] * 4
    for path, expected in (
        ("in/*.json.gz", [True, False, False, False]),
        ("in/*.tsv", [False, True, False, False]),
        ("in/*.xlsx", [False, False, True, False]),
    ):
        page.locator("[name=source_path]").fill(path)
        assert shown(page, *names) == expected
    page.locator("[name=source_format]").select_option("xml")
    assert shown(page, *names) == [False, False, False, True]


def test_slug_follows_the_name_of_a_new_service_and_of_a_copy_only(page: Page, log_in) -> None:
    service = make_service(name="Orders", slug="orders")
    log_in(page, make_user(is_superuser=True))
    name, slug = page.locator("[name=name]"), page.locator("[name=slug]")

    page.goto("/admin/services/service/add/")
    name.fill("Überfällige Orders")
    expect(slug).to_have_value("uberfallige-orders")

    page.goto(f"/admin/services/service/add/?copy_of={service.pk}")
    expect(slug).to_have_value("orders-copy")
    name.fill("Returns")
    expect(slug).to_have_value("returns")
    slug.fill("mine")
    name.fill("Refunds")
    expect(slug).to_have_value("mine")
    page.locator("[name=_save]").click()
    expect(page.locator(".messagelist")).to_contain_text("was added successfully")

    page.goto(f"/admin/services/service/{service.pk}/change/")
    name.fill("Renamed")
    expect(slug).to_have_value("orders")


def test_schedule_description_updates_while_typing(page: Page, log_in) -> None:
    service = make_service(schedule="*/15 * * * *")
    log_in(page, make_user(is_superuser=True))
    page.goto(f"/admin/services/service/{service.pk}/change/")
    description = page.locator(".field-schedule .description").first
    expect(description).to_contain_text("Every 15 minutes; next: ")

    page.locator("[name=schedule]").fill("0 6 * *")
    expect(description).to_contain_text("“0 6 * *” does not have five fields")

    page.locator("[name=schedule]").press_sequentially(" 1")
    expect(description).to_contain_text("At 06:00, only on Monday; next: Mon ")


def test_connection_form_shows_fields_of_its_authentication(page: Page, log_in) -> None:
    log_in(page, make_user(is_superuser=True))
    page.goto("/admin/services/connection/add/")
    fields = ("auth_username", "auth_header", "secret", "secret_env")

    assert shown(page, *fields) == [False, False, False, False]
    page.locator("[name=auth]").select_option("basic")
    assert shown(page, *fields) == [True, False, True, True]
    page.locator("[name=auth]").select_option("header")
    assert shown(page, *fields) == [False, True, True, True]


def test_private_key_is_entered_with_its_line_breaks(page: Page, log_in, tmp_path) -> None:
    create_key(tmp_path / "key")
    log_in(page, make_user(is_superuser=True))
    page.goto("/admin/services/connection/add/")

    page.locator("[name=name]").fill("drop")
    page.locator("[name=kind]").select_option("file")
    page.locator("[name=url]").fill("sftp://host/in")
    page.locator("[name=auth]").select_option("key")
    assert shown(page, "secret", "private_key", "passphrase", "passphrase_env") == [False, True, True, True]
    page.locator("[name=auth_username]").fill("me")
    page.locator("[name=private_key]").fill((tmp_path / "key").read_text())
    page.locator("[name=_continue]").click()

    expect(page.locator(".messagelist")).to_contain_text("was added successfully")
    assert page.locator("[name=private_key]").input_value() == ""
    read_private_key(Connection.objects.get().get_secret(), "")


def test_form_of_an_expired_session_keeps_what_was_entered(page: Page, log_in) -> None:
    service = make_service(name="Orders")
    log_in(page, make_user(is_superuser=True))
    page.goto(f"/admin/services/service/{service.pk}/change/")
    page.locator("[name=name]").fill("Renamed")
    Session.objects.all().delete()
    dialog = page.locator("#session-dialog")

    page.locator("[name=_continue]").click()
    expect(dialog).to_contain_text("Your session has expired")
    assert dialog.get_by_role("link", name="Log in").get_attribute("target") == "_blank"
    dialog.get_by_role("button", name="Close").click()
    assert page.locator("[name=name]").input_value() == "Renamed"

    # A new session in another tab has another CSRF token.
    user = make_user("other", is_superuser=True, password="secret")
    other = page.context.new_page()
    other.goto("/admin/")
    other.locator("[name=username]").fill(user.username)
    other.locator("[name=password]").fill("secret")
    other.get_by_role("button", name="Log in", exact=True).click()
    expect(other.locator("#user-tools")).to_be_visible()
    page.locator("[name=_continue]").click()

    expect(page.locator(".messagelist")).to_contain_text("was changed successfully")
    assert Service.objects.get().name == "Renamed"
    assert "/change/" in page.url


def test_form_that_cannot_be_sent_keeps_what_was_entered(page: Page, log_in, problems) -> None:
    connection = make_connection(name="shop")
    log_in(page, make_user(is_superuser=True))
    page.goto(f"/admin/services/connection/{connection.pk}/change/")
    page.locator("[name=url]").fill("http://new.example")
    page.context.set_offline(True)

    page.locator("[name=_save]").click()

    expect(page.locator("#session-dialog")).to_contain_text("Synclog cannot be reached")
    page.get_by_role("button", name="Close").click()
    page.context.set_offline(False)
    problems.clear()
    page.locator("[name=_save]").click()
    expect(page.locator(".messagelist")).to_contain_text("was changed successfully")
    assert Connection.objects.get().url == "http://new.example"


def test_long_list_of_services_of_a_rule_is_filtered(page: Page, log_in) -> None:
    services = [make_service(name=f"Service {number:02}") for number in range(1, 12)]
    rule = make_rule(services[0])
    log_in(page, make_user(is_superuser=True))
    page.goto(f"/admin/alerts/rule/{rule.pk}/change/")
    shown = page.locator("[name=services]:visible")

    page.get_by_role("searchbox", name="Filter the list").fill("service 11")
    expect(shown).to_have_count(2)
    page.get_by_role("checkbox", name="Service 11").check()
    page.get_by_role("searchbox", name="Filter the list").press("Enter")
    page.locator("[name=_save]").click()

    expect(page.locator(".messagelist")).to_contain_text("was changed successfully")
    assert {*rule.services.all()} == {services[0], services[10]}
