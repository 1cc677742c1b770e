"""Service list: rows, row menu, search, filters, schedule switch."""

from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from apps.console.ui.time_zone import COOKIE
from apps.runs.models import Run
from apps.services.models import Service
from tests.factories import make_connection, make_run, make_service, make_user

pytestmark = pytest.mark.django_db
LIST = "/admin/services/service/"
STAFF = (
    "services.view_service",
    "services.change_service",
    "runs.view_run",
    "runs.start_run",
    "runs.cancel_run",
)


def log_in(client: Client, *permissions: str, **fields: object) -> None:
    client.force_login(make_user(permissions=permissions, **fields))


def names(client: Client, **query: str) -> set[str]:
    changelist = client.get(LIST, query).context["cl"]
    return {service.name for service in changelist.result_list}


def test_list_shows_active_and_inactive_services(client: Client) -> None:
    make_service(name="On")
    make_service(name="Off", is_active=False)
    log_in(client, *STAFF)

    assert names(client) == {"On", "Off"}


def test_row_menu_has_its_labels(client: Client) -> None:
    service = make_service()
    log_in(client, *STAFF)

    page = client.get(LIST).content.decode()

    assert f'popovertarget="service-{service.pk}"' in page
    menu = page.split(f'<div popover id="service-{service.pk}"')[1].split("</div>")[0]
    labels = [piece.split("<")[0] for piece in menu.split("</svg>")[1:]]
    assert labels == ["View logs", "Run service", "Settings", "Turn schedule off"]


def test_row_menu_offers_only_permitted_actions(client: Client) -> None:
    make_service()
    log_in(client, "services.view_service")

    page = client.get(LIST).content.decode()

    assert "View logs" in page
    assert "Run service" not in page
    assert "Duplicate" not in page
    assert "Export as YAML" not in page
    assert "Turn schedule off" not in page


def test_row_shows_flow_last_run_and_next_run(client: Client) -> None:
    service = make_service(
        source_connection=make_connection(name="shop"),
        destination_connection=make_connection(name="warehouse"),
        schedule="*/15 * * * *",
        next_run_at=timezone.now() + timedelta(minutes=12, seconds=30),
    )
    make_run(service, status=Run.Status.SUCCEEDED)
    make_run(service, status=Run.Status.FAILED)
    log_in(client, *STAFF)

    row = client.get(LIST).content.decode().split("<tbody>")[1]

    assert row.index("shop") < row.index("#i-arrow") < row.index("warehouse")
    assert "badge-failed" in row
    assert "badge-succeeded" not in row
    assert 'aria-label="Last 2 runs: 1 succeeded, 1 failed"' in row
    assert ">in 12 min</time>" in row
    assert "every 15 minutes" in row


@pytest.mark.parametrize(
    ("user_time_zone", "schedule", "text"),
    [
        ("Europe/London", "0 6 * * *", "at 06:00"),
        ("Europe/Berlin", "0 6 * * *", "at 06:00 (Europe/London)"),
        ("Europe/Berlin", "*/15 * * * *", "every 15 minutes"),
    ],
)
def test_schedule_time_names_its_time_zone_if_the_user_has_another(
    client: Client, user_time_zone: str, schedule: str, text: str
) -> None:
    make_service(schedule=schedule, timezone="Europe/London", next_run_at=timezone.now() + timedelta(hours=1))
    log_in(client, *STAFF)
    client.cookies[COOKIE] = user_time_zone

    assert f'<span class="subtext">{text}</span>' in client.get(LIST).content.decode()


@pytest.mark.parametrize("search", ["Needle", "needle-slug", "needle-connection", "{pk}"])
def test_search_finds_services_by_name_slug_connection_and_id(client: Client, search: str) -> None:
    make_service(name="Hay", slug="hay", pk=990001)
    make_service(
        name="Needle",
        slug="needle-slug",
        pk=990002,
        source_connection=make_connection(name="needle-connection"),
    )
    log_in(client, *STAFF)

    assert names(client, q=search.format(pk=990002)) == {"Needle"}


def test_list_is_filtered_by_last_run_state_and_connection(client: Client) -> None:
    shop = make_connection(name="shop")
    failed = make_service(name="Failed", destination_connection=shop)
    make_run(failed, status=Run.Status.SUCCEEDED)
    make_run(failed, status=Run.Status.FAILED)
    make_run(make_service(name="Fine", is_active=False), status=Run.Status.SUCCEEDED)
    make_service(name="New", source_connection=shop)
    log_in(client, *STAFF)

    assert names(client, last_run="failed") == {"Failed"}
    assert names(client, last_run="never") == {"New"}
    assert names(client, active="no") == {"Fine"}
    assert names(client, connection="shop") == {"Failed", "New"}


@pytest.mark.parametrize("count", [1, 3])
def test_service_list_takes_a_constant_query_count(
    client: Client, count: int, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for _number in range(count):
        make_run(make_service())
    client.force_login(make_user(is_superuser=True))

    # Session, user, names of the connections, count, the page, the last runs of its services.
    with django_assert_num_queries(6):
        client.get(LIST)


def test_schedule_can_be_turned_off_and_on(client: Client) -> None:
    service = make_service(schedule="*/15 * * * *")
    log_in(client, *STAFF)

    client.post(reverse("admin:services_service_schedule", args=[service.pk, "off"]))
    service.refresh_from_db()
    assert (service.is_active, service.name in client.get(LIST).content.decode()) == (False, True)

    client.post(reverse("admin:services_service_schedule", args=[service.pk, "on"]))
    service.refresh_from_db()
    assert service.is_active
    assert service.next_run_at is not None


def test_turning_schedule_requires_post_and_permission(client: Client) -> None:
    service = make_service()
    url = reverse("admin:services_service_schedule", args=[service.pk, "off"])
    log_in(client, *STAFF)

    assert client.get(url).status_code == 405

    log_in(client, "services.view_service")
    assert client.post(url).status_code == 403
    service.refresh_from_db()
    assert service.is_active


def test_service_without_runs_is_deleted_with_its_script(client: Client) -> None:
    service = make_service(script="def transform(records):\n    return records\n")
    client.force_login(make_user(permissions=["services.view_service", "services.delete_service"]))

    response = client.post(reverse("admin:services_service_delete", args=[service.pk]), {"post": "yes"})

    assert response.status_code == 302
    assert not Service.objects.exists()


def test_service_with_runs_cannot_be_deleted(client: Client) -> None:
    service = make_run().service
    client.force_login(make_user(is_superuser=True))

    response = client.post(reverse("admin:services_service_delete", args=[service.pk]), {"post": "yes"})

    assert response.status_code == 403
    assert Service.objects.filter(pk=service.pk).exists()


def test_anonymous_user_is_redirected_to_login(client: Client) -> None:
    service = make_service()

    response = client.get(reverse("admin:services_service_runs", args=[service.pk]))

    assert response.status_code == 302
    assert response["Location"].startswith("/admin/login/")


def test_recent_runs_show_the_last_twenty_with_status(client: Client) -> None:
    service = make_service()
    make_run(service, status=Run.Status.LOST)
    for number in range(20):
        make_run(service, warning_count=number % 2)
    log_in(client, *STAFF)

    [listed] = client.get(LIST).context["cl"].result_list
    text = client.get(LIST).content.decode()

    assert len(listed.recent_runs) == 20
    assert text.count('<i class="run-bar') == 20
    assert (text.count("run-bar-succeeded"), text.count("run-bar-warnings"), text.count("run-bar-lost")) == (
        10,
        10,
        0,
    )
    assert 'aria-label="Last 20 runs: 20 succeeded"' in text
    latest = listed.recent_runs[-1]
    assert f'title="{latest.number} · Succeeded, with warnings · {latest.at:%-d %b %H:%M}"' in text


def test_schedule_switch_redirects_to_the_same_search(client: Client) -> None:
    service = make_service(name="Orders", schedule="0 * * * *")
    log_in(client, *STAFF)
    before = f"http://testserver{LIST}?q=orders"
    assert (
        'role="switch" aria-checked="true" aria-label="Schedule of Orders"'
        in client.get(before).content.decode()
    )

    url = reverse("admin:services_service_schedule", args=[service.pk, "off"])
    assert client.post(url, headers={"referer": before})["Location"] == before
    assert client.post(url, headers={"referer": "https://elsewhere.example/"})["Location"] == LIST
    assert 'aria-checked="false"' in client.get(LIST).content.decode()


def test_pause_after_failures_is_shown_until_the_schedule_is_turned_on(client: Client) -> None:
    service = make_service(schedule="0 * * * *", is_active=False, paused_at=timezone.now())
    log_in(client, *STAFF)
    assert "paused after failures" in client.get(LIST).content.decode()

    client.post(reverse("admin:services_service_schedule", args=[service.pk, "on"]))

    assert "paused after failures" not in client.get(LIST).content.decode()


def test_reported_service_is_listed_without_run_service(client: Client) -> None:
    make_service(name="Payroll", kind="reported", source_connection=None, destination_connection=None)
    log_in(client, *STAFF)

    text = client.get(LIST).content.decode()

    assert "runs elsewhere, reported here" in text
    assert "View logs" in text
    assert "Run service" not in text


def test_warning_count_has_singular_and_plural(client: Client) -> None:
    make_run(warning_count=1)
    make_run(warning_count=2)
    log_in(client, *STAFF)

    text = client.get(LIST).content.decode()

    assert ">1 warning</span>" in text
    assert ">2 warnings</span>" in text


def test_connection_select_keeps_other_filters(client: Client) -> None:
    for number in range(9):
        make_connection(name=f"system-{number}")
    log_in(client, *STAFF)

    text = client.get(LIST, {"active": "yes", "q": "orders", "connection": "system-3"}).content.decode()

    assert '<option value="system-3" selected>system-3</option>' in text
    form = text.split('<label class="filter-label" for="filter-connection">')[1].split("</form>")[0]
    assert '<input type="hidden" name="active" value="yes">' in form
    assert '<input type="hidden" name="q" value="orders">' in form


def test_empty_list_names_the_next_step(client: Client) -> None:
    client.force_login(make_user(is_superuser=True))

    services = client.get("/admin/services/service/").content.decode()
    runs = client.get("/admin/runs/run/").content.decode()

    assert '<a href="/admin/services/service/add/">Add service</a>' in services
    assert "Choose a longer period." in runs
