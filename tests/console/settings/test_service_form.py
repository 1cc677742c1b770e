"""Service form: validation, script versions, schedule description, policies."""

from datetime import UTC, datetime

import pytest
from django.core.exceptions import ValidationError
from django.urls import reverse
from django.utils.translation import override

from apps.console.settings.descriptions import schedule_text_with_next
from apps.console.settings.service_form import ServiceForm
from apps.console.ui.formatting import schedule_text
from apps.services.definition.loading import load_services
from apps.services.definition.options import read_destination, read_source
from apps.services.models import Connection, Service
from tests.factories import make_connection, make_service, make_user
from tests.forms import form_data_of

pytestmark = pytest.mark.django_db

SERVICES = """
connections:
  shop:      {kind: http, base_url: "http://127.0.0.1:3000"}
  warehouse: {kind: http, base_url: "http://127.0.0.1:3001"}
  drop:      {kind: file, url: "s3://drop"}
services:
  by-page:
    name: Orders
    source:
      {connection: shop, path: /orders, records: "data.items", page_size: 50, id_field: number,
       pagination: {type: page, page_param: _page, size_param: _limit, first: 0},
       params: {status: open, limit: 5}, headers: {Accept-Language: en}}
    script: |
      def transform(records):
          return records
    destination: {connection: warehouse, method: PUT, path: /stock, batch_size: 1, headers: {X-Mode: upsert}}
    schedule: "*/15 * * * *"
    timezone: Europe/London
    max_attempts: 5
    timeout_seconds: 60
  by-offset:
    source: {connection: shop, path: /orders, pagination: {type: offset, offset_param: skip, size_param: take}}
    destination: {connection: warehouse, path: /stock}
  by-cursor:
    source: {connection: shop, path: /orders, pagination: {type: cursor, cursor: meta.next, param: after}}
    destination:
      connection: warehouse
      path: "/items/{sku}"
      params: {mode: upsert}
      wrap: items
      results: {path: items, accepted_if: "status < `300`", reason: error.message}
      accept_status: [409, 410]
  by-url:
    source:
      connection: shop
      path: /orders
      method: POST
      body: {query: "{ orders { id } }", size: "{size}", after: null, ids: [1, 2.5], deep: {text: "ä"}}
      fail_if: errors
      since: {first: "2026-01-01T00:00:00Z", from: updated_at, overlap_seconds: 300}
      retry_status: [409]
      pagination: {type: next_url, next_url: next, end_status: [404]}
    destination: {connection: warehouse, path: /stock}
  by-link:
    source: {connection: shop, path: /orders, pagination: {type: link}}
    destination: {connection: warehouse, path: /stock}
    is_active: false
  files:
    source:
      {connection: drop, path: "in/*.json", format: json, records: items, page_size: 10, only_new: true,
       min_age_seconds: 60, after: {move_to: done}}
    destination: {connection: drop, path: "out/{run}-{page}.ndjson"}
"""


def errors_of(data, instance=None):
    return {field: list(messages) for field, messages in ServiceForm(data, instance=instance).errors.items()}


@pytest.fixture
def form_data():
    """Minimal data of a new service from one HTTP connection to another."""
    return {
        "name": "Orders",
        "slug": "orders",
        "source_connection": make_connection().pk,
        "source_path": "/orders",
        "destination_connection": make_connection().pk,
        "destination_path": "/stock",
        "timezone": "UTC",
        "max_attempts": "3",
        "timeout_seconds": "3600",
        "is_active": "on",
    }


@pytest.mark.parametrize("slug", ["by-page", "by-offset", "by-cursor", "by-url", "by-link", "files"])
def test_saving_unchanged_form_changes_nothing(slug):
    load_services(SERVICES)
    before = Service.objects.get(slug=slug)

    form = ServiceForm(form_data_of(before), instance=Service.objects.get(slug=slug))
    assert form.errors == {}
    form.save()

    after = Service.objects.get(slug=slug)
    for side, read in (("source", read_source), ("destination", read_destination)):
        kind = getattr(after, f"{side}_connection").kind
        assert read(kind, getattr(after, f"{side}_options")) == read(kind, getattr(before, f"{side}_options"))
    unchanged = (
        "name",
        "schedule",
        "timezone",
        "max_attempts",
        "timeout_seconds",
        "is_active",
        "next_run_at",
    )
    assert [getattr(after, name) for name in unchanged] == [getattr(before, name) for name in unchanged]
    assert list(after.scripts.values("version", "source")) == list(before.scripts.values("version", "source"))


@pytest.mark.parametrize("missing", ["source_connection", "destination_connection"])
def test_service_without_a_connection_is_refused(form_data, missing):
    del form_data[missing]

    assert errors_of(form_data) == {missing: ["This field is required."]}


def test_new_service_stores_only_given_options(form_data):
    form = ServiceForm(form_data)
    assert form.errors == {}
    form.save()

    service = Service.objects.get()
    assert service.source_options == {"path": "/orders"}
    assert service.destination_options == {"path": "/stock"}
    assert service.next_run_at is None
    assert service.current_script() is None


def test_changed_script_creates_version_with_author(form_data):
    script = "def transform(records):\n    return records[:1]\n"
    service = make_service(script="def transform(records):\n    return records\n")
    form = ServiceForm(form_data | {"script": script.replace("\n", "\r\n")}, instance=service)
    form.author = make_user("ada")
    assert form.errors == {}
    form.save()

    current = service.current_script()
    assert (current.version, current.source, current.created_by.username) == (2, script, "ada")


def test_changed_schedule_updates_next_run(form_data):
    service = make_service()
    form = ServiceForm(form_data | {"schedule": "0 6 1 1 *", "timezone": "Europe/London"}, instance=service)
    assert form.errors == {}

    assert form.save().next_run_at.strftime("%m-%d %H:%M") == "01-01 06:00"


@pytest.mark.parametrize(
    ("changed", "field", "reason"),
    [
        ({"schedule": "* * *"}, "schedule", "does not have five fields"),
        ({"schedule": "0 25 * * *"}, "schedule", "is not a valid cron expression"),
        ({"schedule": "0 0 30 2 *"}, "schedule", "is not a valid cron expression"),
        ({"timezone": "Europe/Atlantis"}, "timezone", "Unknown time zone “Europe/Atlantis”"),
        ({"max_attempts": "0"}, "max_attempts", "greater than or equal to 1"),
        ({"timeout_seconds": "0"}, "timeout_seconds", "greater than or equal to 1"),
        ({"source_path": "/a/../../b"}, "source_path", "“..” would leave the connection's address"),
        ({"source_records": "items["}, "source_records", "is not a JMESPath expression"),
        ({"source_page_size": "0"}, "source_page_size", "write a whole number from 1 to 100000"),
        ({"source_page_size": "many"}, "source_page_size", "Enter a whole number."),
        ({"source_pagination_type": "book"}, "source_pagination_type", "book is not one of the available"),
        ({"source_since_first": "2999-01-01"}, "source_since_first", "is in the future"),
        ({"source_since_from": "a ["}, "source_since_from", "is not a JMESPath expression"),
        ({"since": "2999-01-01"}, "since", "is in the future"),
        ({"since": "yesterday"}, "since", "is not a time"),
        ({"source_body": "{"}, "source_body", "Enter a valid JSON."),
        ({"source_body": "[" * 5000}, "source_body", "Enter a valid JSON."),
        ({"source_body": "7"}, "source_body", "Write an object or a list."),
        ({"source_body": '{"a": 1}'}, "source_body", "Only POST requests have a body"),
        (
            {"source_method": "POST", "source_body": '{"a": [{"b": "{cursr}"}]}'},
            "source_body",
            "a.0.b: Unknown placeholder “{cursr}”",
        ),
        ({"source_pagination_type": "cursor"}, "source_pagination_cursor", "Required."),
        (
            {"source_pagination_type": "page", "source_pagination_first": "-1"},
            "source_pagination_first",
            "write a whole number from 0",
        ),
        (
            {"source_path": "/{page}", "source_pagination_type": "link"},
            "source_pagination_type",
            "“{page}” in the path has no value",
        ),
        ({"source_params": "status"}, "source_params", "Line 1 is not a pair"),
        (
            {"destination_params": "key: {id}"},
            "destination_params",
            "key: Fields of the record such as “{id}”",
        ),
        ({"source_headers": "Authorization: x"}, "source_headers", "Authorization: Synclog sets this header"),
        ({"source_headers": "X Y: 1"}, "source_headers", "X Y: Invalid header name"),
        ({"destination_results_path": "items"}, "destination_results_accepted_if", "Required."),
        ({"destination_accept_status": "409, x"}, "destination_accept_status", "write HTTP statuses"),
        ({"destination_path": "/{id}", "destination_batch_size": "2"}, "destination_batch_size", "write 1"),
        ({"destination_method": "GET"}, "destination_method", "GET is not one of the available choices"),
        ({"destination_batch_size": "0"}, "destination_batch_size", "write a whole number from 1"),
        ({"destination_headers": "Host: x"}, "destination_headers", "Host: Synclog sets this header"),
        ({"script": "def transform(records:\n"}, "script", ""),
        ({"script": "def change(records):\n    return records\n"}, "script", "transform"),
    ],
)
def test_service_error_is_reported_at_its_field(form_data, changed, field, reason):
    errors = errors_of(form_data | changed)

    assert list(errors) == [field]
    assert reason in " ".join(errors[field])
    assert not Service.objects.exists()


def test_options_of_other_kinds_are_ignored(form_data):
    drop = Connection.objects.create(name="drop", kind="file", url="s3://drop")
    ignored = {
        "source_pagination_type": "cursor",
        "source_headers": "no pair",
        "destination_batch_size": "none",
        "destination_method": "PUT",
    }
    files = {
        "source_connection": drop.pk,
        "source_path": "in/*.csv",
        "destination_connection": drop.pk,
        "destination_path": "out/{run}.csv",
    }

    form = ServiceForm(form_data | ignored | files)
    assert form.errors == {}
    form.save()

    service = Service.objects.get()
    assert service.source_options == {"path": "in/*.csv"}
    assert service.destination_options == {"path": "out/{run}.csv"}


def test_options_of_a_file_format_are_saved_and_shown(form_data):
    drop = Connection.objects.create(name="drop", kind="file", url="s3://drop")
    files = {
        "source_connection": drop.pk,
        "source_path": "in/*.csv.gz",
        "source_csv_delimiter": ";",
        "source_csv_skip_rows": "1",
        "source_csv_names": "id, sku",
        "destination_connection": drop.pk,
        "destination_path": "out/{run}.csv",
        "destination_compression": "gzip",
        "destination_csv_encoding": "cp1252",
    }

    form = ServiceForm(form_data | files)
    assert form.errors == {}
    form.save()

    service = Service.objects.get()
    assert service.source_options == {
        "path": "in/*.csv.gz",
        "csv": {"delimiter": ";", "names": "id, sku", "skip_rows": 1},
    }
    assert service.destination_options == {
        "path": "out/{run}.csv",
        "csv": {"encoding": "cp1252"},
        "compression": "gzip",
    }
    service.source_options["csv"]["names"] = ["id", "sku"]
    shown = ServiceForm(instance=service)
    assert shown["source_csv_skip_rows"].value() == 1
    assert 'value="id, sku"' in str(shown["source_csv_names"])
    assert 'data-shown-for="source_connection=file source_format=csv"' in str(shown["source_csv_names"])


def test_format_of_files_does_not_hide_the_records_of_responses(form_data):
    form = ServiceForm(form_data | {"source_format": "csv", "source_records": "data.items"})

    assert form.errors == {}
    assert form.instance.source_options["records"] == "data.items"


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"source_path": "a.csv", "source_csv_delimiter": "ab"}, "source_csv_delimiter"),
        ({"source_path": "a.json", "source_csv_delimiter": ";"}, "source_csv_delimiter"),
        ({"source_path": "a.xml"}, "source_xml_record"),
        ({"source_path": "a.csv", "source_sheet": "Orders"}, "source_sheet"),
    ],
)
def test_invalid_option_of_a_file_format_is_shown_at_its_field(form_data, values, field):
    drop = Connection.objects.create(name="drop", kind="file", url="s3://drop")

    form = ServiceForm(form_data | {"source_connection": drop.pk} | values)

    assert list(form.errors) == [field]


def test_options_of_another_file_format_are_ignored(form_data):
    drop = Connection.objects.create(name="drop", kind="file", url="s3://drop")
    values = {
        "source_path": "a.json",
        "source_format": "json",
        "source_csv_delimiter": ";;",
        "source_sheet": "x",
    }

    form = ServiceForm(form_data | {"source_connection": drop.pk} | values)
    assert form.errors == {}
    form.save()

    assert Service.objects.get().source_options == {"path": "a.json", "format": "json"}


def test_schedule_description_names_the_next_run():
    now = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)

    assert schedule_text_with_next("0 6 * * *", "Europe/London", now) == (
        "At 06:00; next: Thu 2 Jul 2026, 06:00 in Europe/London."
    )
    assert (
        schedule_text_with_next("", "UTC", now)
        == "No schedule: runs are started only manually or through the API."
    )
    with pytest.raises(ValidationError):
        schedule_text_with_next("0 0 30 2 *", "UTC", now)


@pytest.mark.parametrize(
    ("language", "expression", "text"),
    [
        ("en", "*/15 * * * *", "every 15 minutes"),
        ("en", "0 5 * * 1-5", "at 05:00, Monday through Friday"),
        ("de", "*/15 * * * *", "alle 15 Minuten"),
        ("de", "0 5 1 5 1", "um 05:00, am 1 Tag des Monats, oder am Montag, nur im Mai"),
    ],
)
def test_schedule_description_is_translated(language: str, expression: str, text: str) -> None:
    with override(language):
        assert schedule_text(expression) == text


def test_schedule_description_is_returned_for_typed_input(admin_client, client):
    url = reverse("admin:services_service_describe_schedule")

    good = admin_client.get(url, {"value": "*/15 * * * *", "timezone": "UTC"}).json()
    bad = admin_client.get(url, {"value": "*/15", "timezone": "UTC"}).json()

    assert good["is_valid"] is True
    assert good["text"].startswith("Every 15 minutes; next: ")
    assert bad["is_valid"] is False
    assert bad["text"].startswith("“*/15” does not have five fields")


@pytest.mark.parametrize(
    ("expression", "is_valid", "text"),
    [
        ("@", True, "Selects the whole document."),
        ("data.items", True, "Selects “items” of “data”."),
        ("data[*].id", True, "Selects “id” of each element of “data”."),
        ("a[?x > `1`].b", True, "Selects “b” of the elements of “a” that meet the condition."),
        ("number || id", True, "Selects “number”, or if it is missing “id”."),
        ("", True, ""),
        ("data[", False, "Not a JMESPath expression: something is missing at its end."),
    ],
)
def test_expression_is_described_for_typed_input(admin_client, expression, is_valid, text):
    url = reverse("admin:services_service_describe_expression")
    assert admin_client.get(url, {"value": expression}).json() == {"is_valid": is_valid, "text": text}


def test_connection_is_described_for_who_may_see_it(admin_client, client):
    connection = make_connection(kind="file", url="file:///srv/drop")
    url = reverse("admin:services_service_describe_connection", query={"value": connection.pk})
    client.force_login(make_user())

    assert admin_client.get(url).json() == {"kind": "file", "text": "file:///srv/drop"}
    assert client.get(url).status_code == 404


def test_settings_page_shows_and_saves_a_service(admin_client, admin_user):
    load_services(SERVICES)
    service = Service.objects.get(slug="by-page")
    url = reverse("admin:services_service_change", args=[service.pk])

    page = admin_client.get(url).content.decode()
    response = admin_client.post(
        url, form_data_of(service) | {"script": "def transform(records):\n    return []\n"}
    )

    assert "Every 15 minutes; next: " in page
    assert 'value="data.items"' in page
    # PostgreSQL does not keep the order of an object's keys.
    assert "status: open\nlimit: 5" in page or "limit: 5\nstatus: open" in page
    assert "data-kinds=" in page
    assert response.status_code == 302
    assert service.current_script().created_by == admin_user


@pytest.mark.parametrize("number", [1, 3])
def test_settings_page_takes_nine_queries(admin_client, django_assert_num_queries, number):
    service = make_service()
    for _number in range(number):
        make_connection()
    url = reverse("admin:services_service_change", args=[service.pk])
    admin_client.get(url)

    with django_assert_num_queries(9):
        admin_client.get(url)


def test_settings_page_shows_script_errors_escaped(admin_client):
    service = make_service()
    url = reverse("admin:services_service_change", args=[service.pk])

    page = admin_client.post(
        url, form_data_of(service) | {"script": "def transform(records):\n    <b>\n"}
    ).content.decode()

    assert page.count("&lt;b&gt;") >= 2
    assert "<b>\n" not in page


@pytest.mark.parametrize(
    ("script", "line", "reason"),
    [
        ("def transform(records):\n    return x\n", "2", "Variable `x` not found"),
        (
            "def change(records):\n    return records\n",
            "1",
            "the script has no function transform; write: def transform(records):",
        ),
    ],
)
def test_script_error_with_a_line_is_handed_to_the_editor(form_data, script, line, reason):
    form = ServiceForm(form_data | {"script": script})

    assert list(form.errors) == ["script"]
    attributes = form.fields["script"].widget.attrs
    assert attributes.get("data-error-line") == line
    assert attributes.get("data-error-message") == reason


def test_user_with_view_permission_sees_settings_as_text(client):
    load_services(SERVICES)
    service = Service.objects.get(slug="by-page")
    client.force_login(make_user(permissions=["services.view_service"]))
    url = reverse("admin:services_service_change", args=[service.pk])

    page = client.get(url).content.decode()
    response = client.post(url, form_data_of(service))

    assert "records: data.items" in page
    assert "def transform(records):" in page
    assert "<textarea" not in page
    assert response.status_code == 403


def test_empty_policies_are_saved_as_defaults(form_data):
    policies = {
        "overlap": "allow",
        "retry_limit": "2",
        "pause_after_failures": "5",
        "capture_on_failure": "on",
        "log_retention_days": "90",
    }
    form = ServiceForm(form_data | policies)
    assert form.errors == {}
    service = form.save()
    assert [getattr(service, name) for name in policies] == ["allow", 2, 5, True, 90]

    form = ServiceForm(form_data | dict.fromkeys(policies, ""), instance=service)
    assert form.errors == {}
    service = form.save()
    assert [getattr(service, name) for name in policies] == ["skip", 0, 0, False, None]


def test_reported_service_settings_have_no_connections(admin_client):
    service = make_service(kind="reported", source_connection=None, destination_connection=None)
    url = reverse("admin:services_service_change", args=[service.pk])
    assert "source_connection" not in admin_client.get(url).content.decode()

    response = admin_client.post(
        url, {"name": "Payroll", "slug": "payroll", "is_active": "on", "log_retention_days": "7"}
    )

    assert response.status_code == 302
    service.refresh_from_db()
    assert (service.name, service.log_retention_days, service.kind) == ("Payroll", 7, "reported")


def test_schedule_that_is_saved_as_on_is_not_paused():
    load_services(SERVICES)
    service = Service.objects.get(slug="by-page")
    Service.objects.filter(pk=service.pk).update(is_active=False, paused_at="2026-01-01T00:00Z")
    service.refresh_from_db()

    form = ServiceForm(form_data_of(service) | {"is_active": "on"}, instance=service)

    assert form.is_valid(), form.errors
    saved = form.save()
    saved.refresh_from_db()
    assert (saved.is_active, saved.paused_at) == (True, None)


def test_stored_since_is_shown_and_edited():
    load_services(SERVICES)
    service = Service.objects.get(slug="by-page")
    service.since = "2026-02-01T00:00:00Z"
    data = form_data_of(service)

    form = ServiceForm(data | {"since": "2026-01-01 01:00+01:00"}, instance=service)

    assert data["since"] == "2026-02-01T00:00:00Z"
    assert form.is_valid(), form.errors
    assert form.save().since == "2026-01-01T00:00:00Z"
