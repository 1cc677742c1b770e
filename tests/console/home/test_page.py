"""The home page shows current problems first."""

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from apps.console.home import page as home_page
from apps.runs.models import Run
from apps.runs.monitoring.doctor import CheckResult
from tests.factories import make_incident, make_run, make_service, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def check_results(monkeypatch: pytest.MonkeyPatch) -> list[CheckResult]:
    """Replaces the checks by one passing result; a test may add others. The checks are tested with the doctor."""
    found = [CheckResult("database", True, "Responds.")]
    monkeypatch.setattr(home_page, "run_checks", lambda: found)
    return found


@pytest.fixture
def staff(client: Client) -> Client:
    client.force_login(make_user(is_superuser=True))
    return client


def page(client: Client) -> str:
    return client.get("/admin/").content.decode()


def test_home_without_problems_says_so(staff: Client) -> None:
    run = make_run(make_service(name="Orders"))

    text = page(staff)

    assert "No problems" in text
    assert "No run is queued or running." in text
    assert f'href="/admin/services/service/{run.service_id}/runs/">Orders</a>' in text


def test_home_shows_only_the_last_failure(staff: Client) -> None:
    broken, repaired = make_service(name="Broken"), make_service(name="Repaired")
    make_run(broken, status=Run.Status.FAILED, error="No iban in record 10045")
    make_run(repaired, status=Run.Status.FAILED, error="Long ago")
    make_run(repaired)

    text = page(staff)

    assert "1 service failing" in text
    assert "No iban in record 10045" in text
    assert "Long ago" not in text


def test_home_shows_late_services_and_runs(staff: Client) -> None:
    now = timezone.now()
    make_service(name="Forgotten", schedule="0 * * * *", next_run_at=now - timedelta(seconds=130))
    make_service(name="Almost", schedule="0 * * * *", next_run_at=now - timedelta(seconds=100))
    make_run(make_service(name="Waits"), status=Run.Status.QUEUED, queued_at=now - timedelta(seconds=70))
    make_run(make_service(name="New"), status=Run.Status.QUEUED, queued_at=now - timedelta(seconds=20))

    context = staff.get("/admin/").context

    assert [service.name for service in context["late_services"]] == ["Forgotten"]
    assert [run.service.name for run in context["waiting_runs"]] == ["Waits"]
    assert context["problems"] == ["2 late"]


def test_run_waiting_for_another_or_its_due_time_is_not_late(staff: Client) -> None:
    now = timezone.now()
    old = {"status": Run.Status.QUEUED, "queued_at": now - timedelta(minutes=5)}
    queueing, skipping = make_service(overlap="queue"), make_service(overlap="skip")
    for service in (queueing, skipping):
        make_run(service, status=Run.Status.RUNNING)
    make_run(queueing, trigger=Run.Trigger.SCHEDULE, **old)
    make_run(skipping, trigger=Run.Trigger.RETRY, due_at=now - timedelta(minutes=4), **old)
    make_run(due_at=now + timedelta(minutes=5), **old)
    # Manual runs do not wait for others.
    manual = make_run(queueing, **old)

    assert [run.pk for run in staff.get("/admin/").context["waiting_runs"]] == [manual.pk]


def test_home_shows_paused_service_and_failed_check(staff: Client, check_results: list[CheckResult]) -> None:
    make_service(name="Tired", is_active=False, paused_at=timezone.now(), pause_after_failures=3)
    check_results.append(CheckResult("broker", False, "Does not respond."))

    text = page(staff)

    assert "1 schedule paused · 1 check fails" in text
    assert "paused after 3 consecutive failures" in text
    assert text.index("Does not respond.") < text.index("Responds.")


def test_home_lists_paused_service_once_with_its_failure(staff: Client) -> None:
    paused = {"is_active": False, "paused_at": timezone.now(), "pause_after_failures": 3}
    make_run(make_service(name="Tired", **paused), status=Run.Status.FAILED, error="No iban")
    make_run(make_service(name="Repaired manually", **paused))
    make_run(make_service(name="Healthy"))

    text = page(staff)

    assert text.count(">Tired</a>") == text.count(">Repaired manually</a>") == text.count(">Healthy</a>") == 1
    assert (
        text.index("No iban")
        < text.index("after 3 consecutive failures")
        < text.index(">Repaired manually</a>")
    )
    assert "1 service failing · 2 schedules paused" in text


def test_unclaimed_run_is_listed_once(staff: Client) -> None:
    queued_at = timezone.now() - timedelta(minutes=3)
    run = make_run(make_service(name="Waits"), status=Run.Status.QUEUED, queued_at=queued_at)

    assert page(staff).count(f"/admin/runs/run/{run.pk}/log/") == 1


def test_truncated_list_count_has_a_plus_sign(staff: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(home_page, "MAX_ROWS", 2)
    for _number in range(3):
        make_run(status=Run.Status.FAILED)

    assert "2+ services failing" in page(staff)


def test_home_without_permission_shows_no_runs(client: Client) -> None:
    make_run(make_service(name="Orders"), status=Run.Status.FAILED)
    client.force_login(make_user())

    text = page(client)

    assert "You do not have permission to view runs." in text
    assert "Orders" not in text


@pytest.mark.parametrize("count", [1, 3])
def test_home_takes_a_constant_query_count(
    staff: Client, count: int, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for _number in range(count):
        make_run(status=Run.Status.FAILED)
        make_run(status=Run.Status.RUNNING)

    # Session, user, failing, late, waiting, paused, channels, problems, open runs, other services, their last runs,
    # incidents.
    with django_assert_num_queries(12):
        page(staff)


def test_home_counts_open_incidents(staff: Client) -> None:
    make_incident(make_service())
    make_incident(None, kind="doctor", subject="workers")
    make_incident(make_service(), closed_at=timezone.now())

    assert "2 open incidents" in page(staff)
