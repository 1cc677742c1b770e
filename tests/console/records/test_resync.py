"""Resync: confirmation, origin of the records, permissions, one run for a double click."""

from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.test import Client

from apps.runs.models import Record, RecordSelection, Run
from tests.factories import make_payload, make_record, make_run, make_service, make_user

pytestmark = pytest.mark.django_db
URL = "/admin/records/resync/"
STAFF = ("services.view_service", "runs.view_run", "runs.start_run")
Outcome = Record.Outcome


@pytest.fixture(autouse=True)
def no_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apps.runs.tasks.notify_workers", lambda run_id: None)


@pytest.fixture
def staff(client: Client) -> Client:
    client.force_login(make_user(permissions=STAFF))
    return client


@pytest.fixture
def run() -> Run:
    run = make_run(store_pull=True)
    make_payload(run, name="pull-page-00001.json")
    for key in ("1", "2", "3"):
        make_record(run, key=key, outcome=Outcome.PUSHED if key == "2" else Outcome.REFUSED)
    return run


def values(*records: tuple[Run, str]) -> list[str]:
    return [f"{run.pk}:{key}" for run, key in records]


def confirm(client: Client, **data: object) -> Any:
    return client.post(URL, {"confirm": "1", "origin": "stored", **data})


def new_runs() -> list[Run]:
    return list(Run.objects.filter(retry_of__isnull=False).order_by("pk"))


def test_selection_is_shown_and_starts_nothing(staff: Client, run: Run) -> None:
    response = staff.post(URL, {"record": values((run, "1"), (run, "3"))})

    html = response.content.decode()
    assert f'<input type="hidden" name="record" value="{run.pk}:3">' in html
    assert "2 records" in html
    assert response.context["form"]["origin"].initial == "stored"
    assert new_runs() == []


def test_confirmed_selection_starts_one_run_and_opens_its_log(staff: Client, run: Run) -> None:
    def click(token: str) -> Any:
        return confirm(staff, record=values((run, "1")), dry_run="on", csrfmiddlewaretoken=token)

    responses = [click("token"), click("other token")]
    Run.objects.filter(retry_of=run).update(status="succeeded", finished_at=run.finished_at)
    responses.append(click("token"))

    [new] = new_runs()
    assert [response["Location"] for response in responses] == [f"/admin/runs/run/{new.pk}/log/"] * 3
    assert (new.replay_of, new.is_dry_run, new.selection.keys) == (run, True, ["1"])


def test_all_refused_records_of_a_run_are_sent_again(staff: Client, run: Run) -> None:
    html = staff.get(URL, {"run": run.pk, "outcome": "refused"}).content.decode()
    confirm(staff, run=run.pk, outcome="refused", origin="source")

    assert "2 records" in html
    [new] = new_runs()
    assert (new.replay_of, new.selection.keys) == (None, ["1", "3"])


def test_records_of_several_runs_start_one_run_each_and_no_key_twice(staff: Client, run: Run) -> None:
    later, other = make_run(run.service), make_run()
    make_record(later, key="1", outcome=Outcome.FAILED)
    make_record(other, key="1", outcome=Outcome.REFUSED)
    chosen = values((run, "1"), (run, "3"), (later, "1"), (other, "1"))

    html = staff.post(URL, {"record": chosen}).content.decode()
    response = confirm(staff, record=chosen)

    assert "so 3 new runs are started." in html
    assert "sent once from the latest of them: 1." in html
    assert "Stored pull payloads where they can be read" in html
    assert response["Location"] == "/admin/runs/run/"
    started = {new.retry_of: (new.selection.keys, new.replay_of) for new in new_runs()}
    assert started == {run: (["3"], run), later: (["1"], None), other: (["1"], None)}


def test_only_the_source_is_offered_without_stored_payloads(staff: Client) -> None:
    run = make_run()
    make_record(run, key="1", outcome=Outcome.REFUSED)

    html = staff.get(URL, {"run": run.pk, "key": "1"}).content.decode()

    assert 'value="stored"' not in html
    assert f"Run {run.pk} stored no pull payloads." in html


def test_errors_are_shown_and_nothing_starts(staff: Client, run: Run) -> None:
    other = make_run(make_service(kind="reported", source_connection=None, destination_connection=None))
    make_record(other, key="1", outcome=Outcome.REFUSED)

    unknown = confirm(staff, record=values((run, "1"), (run, "99"))).content.decode()
    reported = confirm(staff, record=values((run, "1"), (other, "1"))).content.decode()
    without_origin = confirm(staff, record=values((run, "1")), origin="").content.decode()

    assert f"Run {run.pk} has no record 99." in unknown
    assert "The service runs elsewhere; send the records again there." in reported
    assert "This field is required." in without_origin
    assert new_runs() == []
    assert not RecordSelection.objects.exists()


@pytest.mark.parametrize("record", [[], ["x"], ["12:"]])
def test_empty_selection_has_a_message(staff: Client, record: list[str]) -> None:
    assert "No record is selected." in confirm(staff, record=record).content.decode()


def test_hidden_and_unknown_runs_are_not_found(staff: Client) -> None:
    hidden = make_run(make_service(groups=[Group.objects.create(name="Finance")]))
    make_record(hidden, key="1", outcome=Outcome.REFUSED)

    assert confirm(staff, record=values((hidden, "1"))).status_code == 404
    assert staff.get(URL, {"run": hidden.pk, "outcome": "refused"}).status_code == 404
    assert staff.get(URL, {"run": "x"}).status_code == 404


def test_resync_requires_the_permission_to_start_runs(client: Client, run: Run) -> None:
    client.force_login(make_user(permissions=["services.view_service"]))

    html = client.get("/admin/records/", {"run": run.pk}).content.decode()

    assert "Resync" not in html
    assert confirm(client, record=values((run, "1"))).status_code == 403
