"""Sorting of long lists: by indexed columns only."""

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from apps.runs.models import Run
from tests.factories import make_payload, make_run, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def staff(client: Client) -> Client:
    client.force_login(make_user(is_superuser=True))
    return client


def listed(client: Client, model: str, **query: object) -> list[object]:
    return [row.pk for row in client.get(f"/admin/runs/{model}/", query).context["cl"].result_list]


def test_runs_are_sorted_by_number_and_start_at_any_time(staff: Client) -> None:
    now = timezone.now()
    late = make_run(started_at=now)
    early = make_run(started_at=now - timedelta(hours=1))
    queued = make_run(status=Run.Status.QUEUED, started_at=None)

    assert listed(staff, "run", period="any", o="0") == [late.pk, early.pk, queued.pk]
    assert listed(staff, "run", period="any", o="4") == [early.pk, late.pk, queued.pk]
    assert listed(staff, "run", period="any", o="-4") == [queued.pk, late.pk, early.pk]
    # The oldest of a period would be searched for from the very first run.
    assert listed(staff, "run", period="24h", o="4") == [queued.pk, late.pk, early.pk]


def test_payloads_are_sorted_by_creation_but_not_by_columns_without_an_index(staff: Client) -> None:
    run = make_run()
    first, second = make_payload(run, name="b", sequence=2), make_payload(run, name="a", sequence=1)

    assert listed(staff, "payload", o="5") == [first.pk, second.pk]
    assert listed(staff, "payload", o="-5") == [second.pk, first.pk]
    assert listed(staff, "payload", o="-0") == listed(staff, "payload") == [second.pk, first.pk]
