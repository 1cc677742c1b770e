"""Metrics in the text format of Prometheus."""

import re
from datetime import timedelta

import pytest
from django.utils import timezone

from apps.runs.models import HousekeepingJob
from tests.api.conftest import client_of
from tests.factories import make_payload, make_run, make_service, make_token

pytestmark = pytest.mark.django_db


def metrics(client):
    response = client.get("/api/v1/metrics/")
    assert response.status_code == 200
    assert response["Content-Type"].startswith("text/plain; version=0.0.4")
    lines = response.content.decode().splitlines()
    samples = [line for line in lines if not line.startswith("#")]
    # Name, labels, number.
    assert all(re.fullmatch(r'\w+(\{(\w+="\w+",?)+\})? [0-9.e+-]+', line) for line in samples)
    return {name: float(value) for name, _space, value in (line.rpartition(" ") for line in samples)}


def test_ages_and_counts_are_zero_without_work(client):
    values = metrics(client)

    assert values["synclog_expiry_lag_seconds"] == 0
    assert values["synclog_queue_age_seconds"] == 0
    assert (
        values['synclog_open_runs{status="queued"}'],
        values['synclog_open_runs{status="running"}'],
    ) == (
        0,
        0,
    )
    assert values['synclog_check_ok{check="database"}'] == 1


def test_metrics_show_what_lags_behind(client):
    now = timezone.now()
    make_run(status="queued")
    make_run(make_service(), status="queued", queued_at=now - timedelta(seconds=90), sent_at=now)
    make_run(status="running")
    make_payload(expires_at=now - timedelta(minutes=20))
    make_payload(expires_at=now - timedelta(minutes=5), status="deleting", delete_error="InternalError")
    HousekeepingJob.record_run("delete_expired_payloads", deleted=3, failed=1)
    HousekeepingJob.objects.update(last_run_at=now - timedelta(minutes=2))

    values = metrics(client)

    assert (
        values['synclog_open_runs{status="queued"}'],
        values['synclog_open_runs{status="running"}'],
    ) == (
        2,
        1,
    )
    assert 90 <= values["synclog_queue_age_seconds"] < 120
    assert 1200 <= values["synclog_expiry_lag_seconds"] < 1230
    assert values["synclog_undeletable_payloads"] == 1
    assert 120 <= values['synclog_job_age_seconds{job="delete_expired_payloads"}'] < 150
    assert values['synclog_job_outcome{job="delete_expired_payloads",outcome="failed"}'] == 1
    assert values['synclog_check_ok{check="expiry"}'] == 0


def test_token_limited_to_services_is_refused():
    client = client_of(make_token(services=[make_service()])[1])

    assert client.get("/api/v1/metrics/").status_code == 403
