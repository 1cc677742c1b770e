"""Events of the clock: late, no success, paused, system checks, reminders, deletion."""

from datetime import timedelta

import pytest

from apps.alerts.incidents import clock_events
from apps.alerts.models import Delivery, Incident, Rule
from apps.runs.monitoring.doctor import CheckResult
from tests.factories import make_channel, make_rule, make_run, make_service

pytestmark = pytest.mark.django_db


@pytest.fixture
def orders(story):
    return make_service(name="Orders", schedule="0 * * * *")


def test_service_is_late_more_than_two_minutes_after_a_missed_time(story, orders):
    make_rule(events=["late", "recovered"])
    orders.next_run_at = story.now
    orders.save()

    story.wait(minutes=1, seconds=59)
    assert story.subjects() == []
    story.wait(seconds=1)
    story.wait(minutes=1)
    assert story.subjects() == ["Orders: Late"]
    assert Incident.objects.get().since == orders.next_run_at

    orders.next_run_at += timedelta(hours=1)
    orders.save()
    story.wait(minutes=1)
    assert story.subjects() == ["Orders: Recovered: Late"]


def test_no_success_counts_from_the_last_success_for_each_rule(story, orders):
    soon, later = make_channel(name="soon"), make_channel(name="later")
    make_rule(events=["recovered"], no_success_for_hours=6, channels=[soon])
    make_rule(events=["recovered"], no_success_for_hours=8, channels=[later])
    make_run(orders, started_at=story.now - timedelta(minutes=1), finished_at=story.now)
    make_run(orders, started_at=story.now, finished_at=story.now + timedelta(hours=2), status="failed")

    sent = []
    for _hour in range(10):
        story.wait(hours=1)
        sent.append(list(Delivery.objects.values_list("channel_name", flat=True)))
        story.subjects()
    assert sent == [*[[]] * 6, ["soon"], [], ["later"], []]

    story.end(orders, "succeeded")
    assert story.subjects() == ["Orders: Recovered: No successful run"] * 2


@pytest.mark.parametrize("kind", ["integration", "reported"])
def test_service_without_runs_counts_from_its_creation(story, kind):
    connections = {} if kind == "integration" else {"source_connection": None, "destination_connection": None}
    service = make_service(kind=kind, **connections)
    make_rule(service, events=[], no_success_for_hours=6)
    story.now = service.created_at

    story.wait(hours=6)
    assert not Incident.objects.exists()
    story.wait(seconds=1)
    assert Incident.objects.get().since == service.created_at


def test_service_whose_schedule_a_person_turned_off_needs_no_success(story):
    off = make_service(is_active=False)
    paused = make_service(is_active=False, paused_at=story.now)
    make_rule(events=[], no_success_for_hours=1)
    story.now = paused.created_at

    story.wait(hours=2)

    assert [incident.service for incident in Incident.objects.all()] == [paused]
    assert off.created_at <= paused.created_at


def test_paused_schedule_is_an_incident_until_it_is_on_again(story, orders):
    make_rule(events=["paused", "recovered"])
    orders.is_active, orders.paused_at = False, story.now
    orders.save()

    story.wait(minutes=1)
    assert story.subjects() == ["Orders: Schedule paused"]

    orders.set_active(True, story.now)
    story.wait(minutes=1)
    assert story.subjects() == ["Orders: Recovered: Schedule paused"]


def test_each_failing_check_is_an_incident_of_the_system(story, monkeypatch):
    make_rule(events=["doctor", "recovered"], channels=[make_channel(name="doctor")])
    make_rule(events=["expiry_lag"], channels=[make_channel(name="expiry")])
    results = [
        CheckResult("workers", False, "No worker responds."),
        CheckResult("expiry", False, "A payload is still stored."),
        CheckResult("broker", True, "Reachable."),
    ]
    monkeypatch.setattr(clock_events, "run_checks", lambda: results)

    story.wait(minutes=1)
    story.wait(minutes=1)
    assert set(Delivery.objects.values_list("channel_name", "subject")) == {
        ("doctor", "[Synclog] System check failed: workers"),
        ("expiry", "[Synclog] Expired payloads not deleted"),
    }

    story.subjects()
    results.clear()
    story.wait(minutes=1)
    assert story.subjects() == ["Recovered: System check failed: workers"]


def test_checks_run_only_if_a_rule_needs_them(story, monkeypatch):
    make_rule()
    monkeypatch.setattr(clock_events, "run_checks", lambda: pytest.fail("not needed"))

    story.wait(minutes=1)


def test_open_incident_is_reminded_of_once_a_day(story, orders):
    make_rule(events=["failed"], daily_reminder=True)
    make_rule(events=["failed"])
    story.end(orders)
    story.subjects()

    sent = []
    for _hours in range(10):
        story.wait(hours=6)
        sent += [[*story.subjects()]]

    once = ["Orders: Still open: Run failed"]
    assert sent == [[], [], [], once, [], [], [], once, [], []]


def test_closed_incidents_are_deleted_with_the_retention_of_logs(story, orders, settings):
    settings.LOG_RETENTION = timedelta(days=30)
    make_rule()
    story.end(orders)
    story.end(orders, "succeeded")
    story.end(orders)

    assert story.wait(days=29).deleted == 0
    assert story.wait(days=1).deleted == 1
    assert Incident.objects.open().count() == 1


def test_incidents_close_in_silence_once_no_rule_watches_them(story, orders):
    rule = make_rule(events=["late", "recovered"])
    orders.next_run_at = story.now
    orders.save()
    story.wait(minutes=3)
    story.subjects()

    rule.delete()
    story.wait(minutes=1)

    assert story.subjects() == []
    assert not Incident.objects.open().exists()


def test_failing_channel_is_no_event(story, orders):
    channel = make_channel()
    make_rule(events=Rule.Event.values, channels=[channel], no_success_for_hours=1)
    story.wait(hours=2)
    incidents, messages = Incident.objects.count(), Delivery.objects.count()

    channel.record_failure(story.now, "Connection refused")
    story.wait(minutes=1)

    assert (Incident.objects.count(), Delivery.objects.count()) == (incidents, messages)
