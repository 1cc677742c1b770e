"""A held run keeps its log and its unexpired payloads until the hold ends."""

from datetime import timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.core.exceptions import ValidationError
from django.utils import timezone

from apps.runs.models import Payload, Run
from apps.runs.payloads.expiry import delete_expired_payloads, set_expiry
from apps.runs.payloads.hold import MAX_HOLD, hold_run, release_run
from tests.factories import make_payload, make_run, make_user

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)


@pytest.fixture
def user(db):
    return make_user("ada")


def test_held_run_keeps_unexpired_payloads(user):
    now = timezone.now()
    run = make_run(store_pull=True)
    payload, expired = make_payload(run), make_payload(run, expires_at=now - timedelta(seconds=1))

    hold_run(run, user, now + 7 * DAY, " Audit 12 ", now=now)

    run.refresh_from_db()
    payload.refresh_from_db()
    assert (run.held_until, run.hold_reason, run.held_by) == (now + 7 * DAY, "Audit 12", user)
    assert payload.expires_at == now + 7 * DAY
    assert delete_expired_payloads().deleted == 1
    expired.refresh_from_db()
    assert expired.status == "deleted"


def test_hold_can_be_changed_but_never_shortens_retention(user):
    now = timezone.now()
    run = make_run()
    payload = make_payload(run)

    for until, expected in (
        (now + 7 * DAY, now + 7 * DAY),
        (now + 2 * DAY, now + 2 * DAY),
        (now + timedelta(hours=1), run.finished_at + DAY),
    ):
        hold_run(run, user, until, "x", now=now)
        payload.refresh_from_db()
        assert payload.expires_at == expected


def test_released_run_expires_after_normal_retention(user):
    now = timezone.now()
    run = make_run(finished_at=now - 3 * DAY)
    payload = make_payload(run, expires_at=now + DAY, status="stored")
    hold_run(run, user, now + 7 * DAY, "x", now=now)

    release_run(run, user)

    payload.refresh_from_db()
    run.refresh_from_db()
    assert (run.held_until, run.hold_reason, run.held_by) == (None, "", None)
    assert payload.expires_at == run.finished_at + DAY
    assert delete_expired_payloads().deleted == 1


def test_hold_of_running_run_applies_after_its_end(user):
    now = timezone.now()
    run = make_run(status="running")
    payload = make_payload(run)
    hold_run(run, user, now + 7 * DAY, "x", now=now)
    payload.refresh_from_db()
    assert payload.expires_at is None

    run.finish(run.lease_token, Run.Status.SUCCEEDED)
    set_expiry(run, DAY)

    payload.refresh_from_db()
    assert payload.expires_at == now + 7 * DAY


@pytest.mark.parametrize("held_for", [None, timedelta(hours=1), 7 * DAY])
def test_ending_a_run_sets_expiry_of_all_payloads_in_two_queries(held_for, django_assert_num_queries):
    now = timezone.now()
    run = make_run(finished_at=now, held_until=held_for and now + held_for)
    usual, later, past = now + DAY, now + 2 * DAY, now - DAY
    held = max(usual, now + held_for) if held_for else usual
    pending = make_payload(run, body=None, status="pending", size=None, sha256="", expires_at=None)
    expected = {
        make_payload(run, body=None, expires_at=None).pk: ("stored", held),
        make_payload(run, body=None, expires_at=later).pk: ("stored", max(later, held)),
        make_payload(run, body=None, status="lost", expires_at=None).pk: ("lost", usual),
        make_payload(run, body=None, status="deleting", expires_at=past).pk: ("deleting", past),
        make_payload(run, body=None, status="deleted", deleted_at=past, expires_at=past).pk: (
            "deleted",
            past,
        ),
    }
    other = make_payload(make_run(status="running"), body=None)

    with django_assert_num_queries(2):
        set_expiry(run, DAY)

    rows = {row.pk: (row.status, row.expires_at) for row in Payload.objects.all()}
    assert rows.pop(other.pk) == ("stored", None)
    status, expires_at = rows.pop(pending.pk)
    assert status == "deleting"
    assert expires_at < usual
    assert rows == expected


def test_ending_a_run_without_payloads_takes_one_query(django_assert_num_queries):
    run = make_run()

    with django_assert_num_queries(1):
        set_expiry(run, DAY)


def test_hold_is_recorded_in_history(user):
    now = timezone.now()
    run = make_run()

    hold_run(run, user, now + 7 * DAY, "Audit 12", now=now)
    release_run(run, user)
    release_run(run, user)

    entries = LogEntry.objects.order_by("pk").values_list("user", "object_id", "change_message")
    until = f"{now + 7 * DAY:%Y-%m-%d %H:%M %Z}"
    assert list(entries) == [
        (user.pk, str(run.pk), f"Held until {until}: Audit 12"),
        (user.pk, str(run.pk), "Hold released"),
    ]


@pytest.mark.parametrize("span", [timedelta(), -DAY, MAX_HOLD + timedelta(seconds=1)])
@pytest.mark.parametrize("reason", ["", "  ", "x" * 501])
def test_hold_requires_a_reason_and_an_end(user, span, reason):
    now = timezone.now()
    run = make_run()

    with pytest.raises(ValidationError) as caught:
        hold_run(run, user, now + span, reason, now=now)

    assert set(caught.value.message_dict) == {"until", "reason"}
    run.refresh_from_db()
    assert run.held_until is None
    assert not LogEntry.objects.exists()
