"""“Run service” page: switches, options, prefilled values, replay."""

import re
from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from apps.runs.models import Run
from tests.factories import make_payload, make_run, make_service, make_user

pytestmark = pytest.mark.django_db
SWITCHES = ("store_pull", "store_push", "store_script", "dry_run")


@pytest.fixture(autouse=True)
def no_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sends no message to a broker; the tests check the row of the run."""
    monkeypatch.setattr("apps.runs.tasks.notify_workers", lambda run_id: None)


@pytest.fixture
def staff(client: Client) -> Client:
    client.force_login(make_user("ada", is_superuser=True))
    return client


def address(service, query=""):
    return reverse("admin:services_service_run", args=[service.pk]) + query


def test_switches_have_their_labels_and_are_off(staff: Client) -> None:
    response = staff.get(address(make_service()))

    form = response.context["form"]
    assert [str(field.label) for field in form.payload_fields] == [
        "Store pull payloads",
        "Store push payloads",
        "Store custom script payloads",
    ]
    text = response.content.decode()
    for label in ("Store pull payloads", "Store push payloads", "Store custom script payloads", "Dry run"):
        assert f">{label}</label>" in text
    assert text.count('role="switch"') == 4
    assert not re.search(r'role="switch"[^>]* checked', text)


def test_service_options_are_prefilled(staff: Client) -> None:
    service = make_service(source_options={"path": "/orders", "page_size": 250}, max_attempts=7)

    form = staff.get(address(service)).context["form"]

    assert [form[name].value() for name in ("page_size", "max_attempts", "record_id")] == [250, 7, None]


def test_start_creates_run_and_redirects_to_its_log(staff: Client) -> None:
    service = make_service(max_attempts=3)
    sent = {"store_pull": "on", "store_script": "on", "dry_run": "on"}
    sent |= {"page_size": "50", "max_attempts": "3", "record_id": "10045"}

    response = staff.post(address(service), sent)

    run = Run.objects.get()
    assert response["Location"] == f"/admin/runs/run/{run.pk}/log/"
    assert (run.service, run.trigger, run.status) == (service, Run.Trigger.MANUAL, Run.Status.QUEUED)
    assert run.started_by.username == "ada"
    assert run.stores == ("pull", "script")
    assert run.is_dry_run
    # Values equal to the service's are not stored as options of the run.
    assert run.options == {"page_size": 50, "record_id": "10045"}


def test_since_is_prefilled_and_changed_for_one_run(staff: Client) -> None:
    options = {"params": {"since": "{since}"}, "since": {"first": "2026-01-01"}}
    service = make_service(source_options=options, since="2026-03-01T00:00:00Z")
    form = staff.get(address(service)).context["form"]

    staff.post(address(service), {"since": "2026-03-01T00:00:00Z"})
    staff.post(address(service), {"since": "2026-02-01T01:00:00+01:00"})
    refused = staff.post(address(service), {"since": "yesterday"})

    assert form["since"].value() == "2026-03-01T00:00:00Z"
    assert [run.options for run in Run.objects.order_by("pk")] == [{}, {"since": "2026-02-01T00:00:00Z"}]
    assert "is not a time" in refused.context["form"].errors["since"][0]


def test_since_is_not_offered_if_the_source_does_not_use_it(staff: Client) -> None:
    form = staff.get(address(make_service())).context["form"]

    assert "since" not in form.fields


@pytest.mark.parametrize("switch", SWITCHES)
def test_each_switch_is_independent(staff: Client, switch: str) -> None:
    staff.post(address(make_service()), {switch: "on"})

    run = Run.objects.get()
    states = (run.store_pull, run.store_push, run.store_script, run.is_dry_run)
    assert [name for name, is_on in zip(SWITCHES, states, strict=True) if is_on] == [switch]


@pytest.mark.parametrize(
    ("field", "value"),
    [("page_size", "0"), ("page_size", "many"), ("page_size", "100001"), ("max_attempts", "21")],
)
def test_invalid_value_is_reported_at_its_field(staff: Client, field: str, value: str) -> None:
    response = staff.post(address(make_service()), {field: value, "store_pull": "on"})

    assert response.status_code == 200
    assert list(response.context["form"].errors) == [field]
    assert 'aria-invalid="true"' in response.content.decode()
    assert not Run.objects.exists()


def test_active_run_shows_a_warning(staff: Client) -> None:
    run = make_run(status=Run.Status.RUNNING)

    text = staff.get(address(run.service)).content.decode()

    assert "A run of this service is running:" in text
    assert f'href="/admin/runs/run/{run.pk}/log/"' in text


def test_run_again_prefills_the_same_options(staff: Client) -> None:
    service = make_service()
    first = make_run(service, store_push=True, options={"page_size": 20, "record_id": "7"})
    query = f"?retry_of={first.pk}"

    form = staff.get(address(service, query)).context["form"]
    assert [form[name].value() for name in ("store_pull", "store_push", "page_size", "record_id")] == [
        False,
        True,
        20,
        "7",
    ]

    staff.post(address(service, query), {"store_push": "on", "page_size": "20"})
    second = Run.objects.exclude(pk=first.pk).get()
    assert (second.retry_of, second.trigger, second.options) == (first, Run.Trigger.RETRY, {"page_size": 20})


def test_run_of_another_service_is_not_prefilled(staff: Client) -> None:
    other = make_run(options={"page_size": 20})

    response = staff.get(address(make_service(), f"?retry_of={other.pk}"))

    assert response.context["retried"] is None


def test_starting_requires_permission(client: Client) -> None:
    service = make_service()
    client.force_login(make_user(permissions=["services.view_service", "runs.view_run"]))

    assert client.get(address(service)).status_code == 403
    assert client.post(address(service), {}).status_code == 403
    assert not Run.objects.exists()


def test_last_manual_run_is_shown_but_not_prefilled(staff: Client) -> None:
    service = make_service()
    last = make_run(service, store_push=True, is_dry_run=True, options={"record_id": "10045"})
    make_run(service, trigger=Run.Trigger.SCHEDULE)
    make_run(service, trigger=Run.Trigger.RETRY, due_at=timezone.now())

    response = staff.get(address(service))

    assert "Dry run; Store push payloads; Only the record with this id: 10045." in response.content.decode()
    assert f'href="?like={last.pk}"' in response.content.decode()
    assert not response.context["form"]["store_push"].value()


def test_same_options_can_be_prefilled_without_a_retry(staff: Client) -> None:
    service = make_service()
    last = make_run(service, store_push=True, options={"record_id": "10045"})

    form = staff.get(address(service, f"?like={last.pk}")).context["form"]
    assert (form["store_push"].value(), form["record_id"].value()) == (True, "10045")

    staff.post(address(service, f"?like={last.pk}"), {"store_push": "on", "record_id": "10045"})
    run = Run.objects.exclude(pk=last.pk).get()
    assert (run.trigger, run.retry_of) == (Run.Trigger.MANUAL, None)


def test_reported_service_cannot_be_started(staff: Client) -> None:
    service = make_service(kind="reported", source_connection=None, destination_connection=None)

    assert staff.get(address(service)).status_code == 404
    assert "Run service" not in staff.get(f"/admin/services/service/{service.pk}/runs/").content.decode()


def test_stored_pull_payloads_can_be_replayed(staff: Client) -> None:
    first = make_run(store_pull=True, finished_at=timezone.now())
    make_payload(first, name="pull-page-1.json")
    url = address(first.service, f"?retry_of={first.pk}")
    response = staff.get(url)
    assert f"Use the stored pull payloads of run {first.pk}" in response.content.decode()
    assert "They expire at" in response.content.decode()
    assert not response.context["form"]["replay"].value()

    staff.post(url, {"replay": "on"})
    assert Run.objects.latest("pk").replay_of == first

    staff.post(url, {})
    assert Run.objects.latest("pk").replay_of is None


def test_expired_pull_payloads_are_not_offered(staff: Client) -> None:
    first = make_run(store_pull=True)
    make_payload(first, name="pull-page-1.json", expires_at=timezone.now() - timedelta(seconds=1))
    url = address(first.service, f"?retry_of={first.pk}")

    assert "Use the stored pull payloads" not in staff.get(url).content.decode()
    staff.post(url, {"replay": "on"})

    assert Run.objects.latest("pk").replay_of is None
