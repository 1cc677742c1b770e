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


def sign_in(client: Client, *permissions: str, **fields: object) -> None:
    client.force_login(make_user(permissions=permissions, **fields))


def names(client: Client, **query: str) -> set[str]:
    changelist = client.get(LIST, query).context["cl"]
    return {service.name for service in changelist.result_list}


def test_list_shows_every_service_active_or_not(client: Client) -> None:
    make_service(name="On")
    make_service(name="Off", is_active=False)
    sign_in(client, *STAFF)

    assert names(client) == {"On", "Off"}


def test_row_menu_has_the_fixed_labels(client: Client) -> None:
    service = make_service()
    sign_in(client, *STAFF)

    page = client.get(LIST).content.decode()

    assert f'popovertarget="service-{service.pk}"' in page
    menu = page.split(f'<div popover id="service-{service.pk}"')[1].split("</div>")[0]
    words = [piece.split("<")[0] for piece in menu.split("</svg>")[1:]]
    assert words == ["View logs", "Run service", "Settings", "Turn schedule off"]


def test_row_menu_offers_only_what_the_user_may_do(client: Client) -> None:
    make_service()
    sign_in(client, "services.view_service")

    page = client.get(LIST).content.decode()

    assert "View logs" in page
    assert "Run service" not in page
    assert "Turn schedule off" not in page


def test_row_shows_flow_last_run_and_next_run_in_words(client: Client) -> None:
    service = make_service(
        source_connection=make_connection(name="shop"),
        destination_connection=make_connection(name="warehouse"),
        schedule="*/15 * * * *",
        next_run_at=timezone.now() + timedelta(minutes=12, seconds=30),
    )
    make_run(service, status=Run.Status.SUCCEEDED)
    make_run(service, status=Run.Status.FAILED)
    sign_in(client, *STAFF)

    row = client.get(LIST).content.decode().split("<tbody>")[1]

    assert row.index("shop") < row.index("#i-arrow") < row.index("warehouse")
    assert "badge-failed" in row
    assert "badge-succeeded" not in row
    assert 'aria-label="Last 2 runs: 1 succeeded, 1 failed"' in row
    assert ">in 12 min</time>" in row
    assert "every 15 minutes" in row


@pytest.mark.parametrize(
    ("reader", "schedule", "words"),
    [
        ("Europe/London", "0 6 * * *", "at 06:00"),
        ("Europe/Berlin", "0 6 * * *", "at 06:00 (Europe/London)"),
        ("Europe/Berlin", "*/15 * * * *", "every 15 minutes"),
    ],
)
def test_time_of_day_of_a_schedule_names_its_zone_to_readers_of_another(
    client: Client, reader: str, schedule: str, words: str
) -> None:
    make_service(schedule=schedule, timezone="Europe/London", next_run_at=timezone.now() + timedelta(hours=1))
    sign_in(client, *STAFF)
    client.cookies[COOKIE] = reader

    assert f'<span class="below">{words}</span>' in client.get(LIST).content.decode()


@pytest.mark.parametrize("search", ["Needle", "needle-slug", "needle-connection", "{pk}"])
def test_search_finds_by_name_slug_connection_and_id(client: Client, search: str) -> None:
    make_service(name="Hay", slug="hay", pk=990001)
    make_service(
        name="Needle",
        slug="needle-slug",
        pk=990002,
        source_connection=make_connection(name="needle-connection"),
    )
    sign_in(client, *STAFF)

    assert names(client, q=search.format(pk=990002)) == {"Needle"}


def test_filters_by_last_run_active_and_connection(client: Client) -> None:
    shop = make_connection(name="shop")
    failed = make_service(name="Failed", destination_connection=shop)
    make_run(failed, status=Run.Status.SUCCEEDED)
    make_run(failed, status=Run.Status.FAILED)
    make_run(make_service(name="Fine", is_active=False), status=Run.Status.SUCCEEDED)
    make_service(name="New", source_connection=shop)
    sign_in(client, *STAFF)

    assert names(client, last_run="failed") == {"Failed"}
    assert names(client, last_run="never") == {"New"}
    assert names(client, last_run="nonsense") == {"Failed", "Fine", "New"}
    assert names(client, active="no") == {"Fine"}
    assert names(client, connection="shop") == {"Failed", "New"}


@pytest.mark.parametrize("count", [1, 3])
def test_list_costs_the_same_queries_whatever_its_length(
    client: Client, count: int, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for _number in range(count):
        make_run(make_service())
    client.force_login(make_user(is_superuser=True))

    # Session, user, names of the connections, count, the page, the last runs of its services.
    with django_assert_num_queries(6):
        client.get(LIST)


def test_schedule_is_turned_off_and_on_by_post(client: Client) -> None:
    service = make_service(schedule="*/15 * * * *")
    sign_in(client, *STAFF)

    client.post(reverse("admin:services_service_schedule", args=[service.pk, "off"]))
    service.refresh_from_db()
    assert (service.is_active, service.name in client.get(LIST).content.decode()) == (False, True)

    client.post(reverse("admin:services_service_schedule", args=[service.pk, "on"]))
    service.refresh_from_db()
    assert service.is_active
    assert service.next_run_at is not None


def test_schedule_is_not_turned_by_get_nor_without_permission(client: Client) -> None:
    service = make_service()
    url = reverse("admin:services_service_schedule", args=[service.pk, "off"])
    sign_in(client, *STAFF)

    assert client.get(url).status_code == 405

    sign_in(client, "services.view_service")
    assert client.post(url).status_code == 403
    service.refresh_from_db()
    assert service.is_active


def test_service_with_runs_cannot_be_deleted(client: Client) -> None:
    service = make_run().service
    client.force_login(make_user(is_superuser=True))

    response = client.post(reverse("admin:services_service_delete", args=[service.pk]), {"post": "yes"})

    assert response.status_code == 403
    assert Service.objects.filter(pk=service.pk).exists()


def test_signed_out_visitor_is_sent_to_the_login(client: Client) -> None:
    service = make_service()

    response = client.get(reverse("admin:services_service_runs", args=[service.pk]))

    assert response.status_code == 302
    assert response["Location"].startswith("/admin/login/")


def test_strip_holds_the_last_twenty_runs_with_their_states(client: Client) -> None:
    service = make_service()
    make_run(service, status=Run.Status.LOST)
    for number in range(20):
        make_run(service, warning_count=number % 2)
    sign_in(client, *STAFF)

    [listed] = client.get(LIST).context["cl"].result_list
    text = client.get(LIST).content.decode()

    assert len(listed.recent_runs) == 20
    assert text.count('<i class="mark') == 20
    assert (text.count("mark-succeeded"), text.count("mark-warned"), text.count("mark-lost")) == (10, 10, 0)
    assert 'aria-label="Last 20 runs: 20 succeeded"' in text
    latest = listed.recent_runs[-1]
    assert f'title="{latest.number} · Succeeded, with warnings · {latest.at:%-d %b %H:%M}"' in text


def test_switch_turns_the_schedule_and_leads_back_to_the_same_search(client: Client) -> None:
    service = make_service(name="Orders", schedule="0 * * * *")
    sign_in(client, *STAFF)
    before = f"http://testserver{LIST}?q=orders"
    assert (
        'role="switch" aria-checked="true" aria-label="Schedule of Orders"'
        in client.get(before).content.decode()
    )

    url = reverse("admin:services_service_schedule", args=[service.pk, "off"])
    assert client.post(url, headers={"referer": before})["Location"] == before
    assert client.post(url, headers={"referer": "https://elsewhere.example/"})["Location"] == LIST
    assert 'aria-checked="false"' in client.get(LIST).content.decode()


def test_pause_after_failures_is_said_in_words_and_ends_with_the_switch(client: Client) -> None:
    service = make_service(schedule="0 * * * *", is_active=False, paused_at=timezone.now())
    sign_in(client, *STAFF)
    assert "disabled after failures" in client.get(LIST).content.decode()

    client.post(reverse("admin:services_service_schedule", args=[service.pk, "on"]))

    assert "disabled after failures" not in client.get(LIST).content.decode()


def test_reported_service_is_listed_without_run_service(client: Client) -> None:
    make_service(name="Payroll", kind="reported", source_connection=None, destination_connection=None)
    sign_in(client, *STAFF)

    text = client.get(LIST).content.decode()

    assert "runs elsewhere, reported here" in text
    assert "View logs" in text
    assert "Run service" not in text


def test_warnings_are_counted_in_grammar(client: Client) -> None:
    make_run(warning_count=1)
    make_run(warning_count=2)
    sign_in(client, *STAFF)

    text = client.get(LIST).content.decode()

    assert ">1 warning</span>" in text
    assert ">2 warnings</span>" in text


def test_many_connections_are_a_select_that_keeps_the_rest(client: Client) -> None:
    for number in range(9):
        make_connection(name=f"system-{number}")
    sign_in(client, *STAFF)

    text = client.get(LIST, {"active": "yes", "q": "orders", "connection": "system-3"}).content.decode()

    assert '<option value="system-3" selected>system-3</option>' in text
    form = text.split('<label class="filter-caption" for="filter-connection">')[1].split("</form>")[0]
    assert '<input type="hidden" name="active" value="yes">' in form
    assert '<input type="hidden" name="q" value="orders">' in form


def test_empty_list_says_what_to_do_next(client: Client) -> None:
    client.force_login(make_user(is_superuser=True))

    services = client.get("/admin/services/service/").content.decode()
    runs = client.get("/admin/runs/run/").content.decode()

    assert '<a href="/admin/services/service/add/">Add service</a>' in services
    assert "Choose a longer period." in runs
