"""Notices that are held back: quiet hours, maintenance, and too many at once."""

from datetime import time, timedelta

import pytest

from apps.alerts.incidents.notices import MAX_NOTICES
from apps.alerts.incidents.problem_events import problem_event
from apps.alerts.models import Delivery, Incident, MaintenanceWindow
from tests.factories import make_channel, make_rule, make_service

pytestmark = pytest.mark.django_db


@pytest.fixture
def orders():
    return make_service(name="Orders")


def test_quiet_hours_are_summed_up_in_one_message(story, orders):
    invoices = make_service(name="Invoices")
    make_rule(quiet_from=time(12), quiet_until=time(14))

    story.end(orders)
    story.end(orders, "succeeded")
    story.end(invoices)
    story.wait(minutes=110)
    assert story.subjects() == []

    story.wait(minutes=7)
    delivery = Delivery.objects.get()
    assert delivery.subject == "[Synclog] Alerts about 2 incidents"
    assert "Orders: Run failed, recovered" in delivery.text
    assert "Invoices: Run failed" in delivery.text

    story.subjects()
    story.wait(minutes=1)
    story.end(invoices, "succeeded")
    assert story.subjects() == ["Invoices: Recovered: Run failed"]


def test_single_incident_of_quiet_hours_is_sent_as_usual(story, orders):
    make_rule(quiet_from=time(12), quiet_until=time(14))

    story.end(orders, error="HTTP 503")
    story.wait(hours=2)

    delivery = Delivery.objects.get()
    assert delivery.subject == "[Synclog] Orders: Run failed"
    assert "HTTP 503" in delivery.text


def test_quiet_rule_does_not_silence_another_one_of_the_same_channel(story, orders):
    channel = make_channel()
    make_rule(quiet_from=time(12), quiet_until=time(14), channels=[channel])
    make_rule(orders, channels=[channel])

    story.end(orders)

    assert story.subjects() == ["Orders: Run failed"]


def test_maintenance_holds_alerts_of_its_service_until_it_ends(story, orders):
    other = make_service(name="Other")
    make_rule()
    MaintenanceWindow.objects.create(
        service=orders, starts_at=story.now, ends_at=story.now + timedelta(hours=3)
    )

    story.end(orders)
    story.end(other)
    assert story.subjects() == ["Other: Run failed"]

    story.wait(hours=3)
    assert story.subjects() == ["Orders: Run failed"]


def test_maintenance_that_ends_in_quiet_hours_is_followed_by_them(story, orders):
    make_rule(quiet_from=time(14), quiet_until=time(16))
    MaintenanceWindow.objects.create(
        service=orders, starts_at=story.now, ends_at=story.now + timedelta(hours=3)
    )

    story.end(orders)
    story.wait(hours=3)
    assert story.subjects() == []
    story.wait(hours=1)
    assert story.subjects() == ["Orders: Run failed"]


def test_many_services_that_fail_at_once_are_few_messages(story):
    make_rule()
    services = [
        make_service(
            name=f"Service {number}", kind="reported", source_connection=None, destination_connection=None
        )
        for number in range(60)
    ]
    ends = story.now
    for service in services:
        story.end(service)
        story.now = ends

    assert len(story.subjects()) == MAX_NOTICES
    story.wait(minutes=1)
    delivery = Delivery.objects.get()
    assert delivery.subject == "[Synclog] Alerts about 40 incidents"
    assert "Further incidents: 20" in delivery.text
    assert Incident.objects.open().count() == 60


def test_recovery_waits_for_the_notice_that_it_belongs_to(story, orders):
    channel = make_channel()
    rule = make_rule(quiet_from=time(12), quiet_until=time(14), channels=[channel])
    story.end(orders)
    rule.quiet_from = rule.quiet_until = None
    rule.save()

    story.end(orders, "succeeded")
    assert story.subjects() == []
    story.wait(hours=2)

    assert story.subjects() == ["Orders: Recovered: Run failed"]


def test_inactive_channel_is_not_notified(story, orders):
    make_rule(channels=[make_channel(is_active=False)])

    story.end(orders)

    assert Incident.objects.get().notices.count() == 0


def test_problem_is_sent_once_and_closed(story, orders):
    make_rule(events=["problem"])

    problem_event(orders, "new", "HTTP 503 from <url>", "/admin/problems/7/")
    problem_event(orders, "reopened", "HTTP 503 from <url>", "/admin/problems/7/")

    assert story.subjects() == ["Orders: New problem", "Orders: Problem reopened"]
    assert not Incident.objects.open().exists()


def test_problem_without_rule_is_no_incident(orders):
    make_rule(events=["failed"])

    problem_event(orders, "new", "HTTP 503", "/")

    assert not Incident.objects.exists()
