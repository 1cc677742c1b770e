"""Reported runs: opening, lease, result, and who may report."""

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from apps.runs.models import Payload, Run
from apps.runs.recovery.lost_runs import close_lost_runs
from tests.api.conftest import client_of
from tests.api.reports.requests import finish, line, open_run, post_lines, put_file, stored_lines
from tests.factories import make_run, make_service, make_token

pytestmark = pytest.mark.django_db


def test_opened_run_is_running_with_a_lease(client, nightly):
    response = open_run(client, {"dry_run": True})

    run = Run.objects.get()
    assert response.status_code == 201
    assert response["Location"] == f"http://testserver/api/v1/runs/{run.pk}/"
    assert response.json() == client.get(response["Location"]).json()
    assert (run.status, run.trigger, run.is_dry_run) == ("running", "api", True)
    assert timedelta(minutes=4) < run.lease_until - timezone.now() <= timedelta(minutes=5)


def test_same_key_opens_one_run(client, nightly):
    first, again = (open_run(client, **{"Idempotency-Key": "k"}) for _index in range(2))
    other = open_run(client, {"dry_run": True}, **{"Idempotency-Key": "k"})

    assert (first.status_code, again.status_code, other.status_code) == (201, 201, 422)
    assert again.json()["id"] == first.json()["id"]


@pytest.mark.parametrize("body", [{"store": ["pull"]}, {"options": {"page_size": 5}}])
def test_options_of_executed_runs_are_400(client, nightly, body):
    response = open_run(client, body)

    assert response.status_code == 400
    assert list(response.json()["errors"]) == list(body)


def test_scope_to_open_a_run_depends_on_the_kind_of_the_service(nightly, service):
    starts = client_of(make_token(scopes=["run:start"])[1])
    reports = client_of(make_token(scopes=["run:report"])[1])

    refused = open_run(starts)
    wrong = reports.post("/api/v1/services/orders/runs/", {}, content_type="application/json")

    assert (refused.status_code, wrong.status_code) == (403, 403)
    assert "run:report" in refused.json()["detail"]
    assert "run:start" in wrong.json()["detail"]
    assert open_run(reports).status_code == 201


def test_reported_service_has_no_connections(client, nightly):
    document = client.get("/api/v1/services/nightly/").json()

    assert (document["kind"], document["source"], document["destination"]) == ("reported", None, None)


def test_each_report_renews_the_lease(client, run):
    soon = timezone.now() + timedelta(seconds=5)

    for report in (
        lambda: post_lines(client, run, [line(1)]),
        lambda: post_lines(client, run, []),
        lambda: put_file(client, run),
    ):
        Run.objects.update(lease_until=soon)
        report()
        run.refresh_from_db()
        assert run.lease_until > soon + timedelta(minutes=4)


def test_run_without_reports_is_lost_after_its_lease_and_refuses_further_reports(client, run):
    post_lines(client, run, [line(1)])
    Run.objects.update(lease_until=timezone.now() - timedelta(seconds=1))

    closed = close_lost_runs(worker="test")

    run.refresh_from_db()
    assert (closed, run.status, run.is_complete) == (1, "lost", True)
    assert stored_lines(run)[0] == (1, "Line 1")
    for response in (
        post_lines(client, run, [line(2)]),
        post_lines(client, run, [line(1)]),
        put_file(client, run),
        finish(client, run),
    ):
        assert response.status_code == 409
        assert response.json()["type"] == "urn:problem-type:synclog:run-has-ended"
        assert "lost" in response.json()["detail"]


def test_late_report_renews_an_expired_lease(client, run):
    Run.objects.update(lease_until=timezone.now() - timedelta(seconds=1))

    response = post_lines(client, run, [line(1)])

    assert response.status_code == 200
    assert close_lost_runs(worker="test") == 0


def test_finish_ends_the_run_seals_its_log_and_sets_the_expiry_of_its_payloads(client, run, settings):
    post_lines(client, run, [line(1), line(2, "bad", level="error")])
    put_file(client, run)

    response = finish(client, run, status="failed", pulled_count=7, pushed_count=5)

    run.refresh_from_db()
    document = response.json()
    assert response.status_code == 200
    assert document == client.get(f"/api/v1/runs/{run.pk}/").json()
    assert (document["status"], document["pulled_count"], document["pushed_count"]) == ("failed", 7, 5)
    assert (document["error"], document["is_complete"], document["line_count"]) == ("bad", True, 2)
    assert (run.lease_token, run.lease_until) == (None, None)
    assert Payload.objects.get().expires_at == run.finished_at + settings.PAYLOAD_RETENTION
    assert client.get(f"/api/v1/runs/{run.pk}/log/").json()["poll_after"] is None


def test_repeated_finish_changes_nothing_and_another_result_is_409(client, run):
    post_lines(client, run, [line(1)])
    body = {"status": "failed", "pulled_count": 3, "pushed_count": 0, "error": "No\x00 luck"}

    first, again = finish(client, run, **body), finish(client, run, **body)
    others = [finish(client, run), finish(client, run, **body | {"error": "Other"})]
    repeat, more = post_lines(client, run, [line(1)]), post_lines(client, run, [line(2)])

    assert (first.status_code, again.status_code) == (200, 200)
    assert first.json() == again.json()
    assert first.json()["error"] == "No␀ luck"
    assert [response.status_code for response in others] == [409, 409]
    assert (repeat.status_code, more.status_code, put_file(client, run).status_code) == (200, 409, 409)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"status": "running"}, "status"),
        ({"pulled_count": -1}, "pulled_count"),
        ({"pushed_count": 2**63}, "pushed_count"),
        ({"error": {}}, "error"),
        ({"note": "x"}, "note"),
    ],
)
def test_invalid_result_is_400(client, run, body, field):
    response = finish(client, run, **body)

    assert response.status_code == 400
    assert list(response.json()["errors"]) == [field]


def report_everything(client, run):
    return post_lines(client, run, [line(1)]), put_file(client, run), finish(client, run)


def test_report_of_an_executed_run_is_409(client, service):
    responses = report_everything(client, make_run(service, status="running"))

    assert [response.status_code for response in responses] == [409] * 3
    assert responses[0].json()["type"] == "urn:problem-type:synclog:run-not-reported"


def test_report_of_a_run_of_another_user_is_403(run):
    responses = report_everything(client_of(make_token()[1]), run)

    assert [response.status_code for response in responses] == [403] * 3
    assert responses[0].json()["type"] == "urn:problem-type:synclog:run-of-another-reporter"


def test_report_with_a_token_for_another_service_is_404(run):
    client = client_of(make_token(services=[make_service()])[1])

    assert [response.status_code for response in report_everything(client, run)] == [404] * 3


def test_report_without_a_token_is_401(run):
    assert [response.status_code for response in report_everything(Client(), run)] == [401] * 3
