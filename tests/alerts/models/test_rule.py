"""Rules: validation, and quiet hours across changes of the clock."""

from datetime import UTC, datetime, time

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from apps.alerts.models import MaintenanceWindow, Rule
from tests.factories import make_rule, make_service


@pytest.mark.parametrize(
    ("fields", "field", "reason"),
    [
        ({"events": []}, "events", "no event and would never alert; choose an event"),
        (
            {"events": ["failed", "sleeps"]},
            "events",
            "Unknown event “sleeps”. Allowed: failed, recovered, late",
        ),
        ({"no_success_for_hours": 0}, "no_success_for_hours", "greater than or equal to 1"),
        ({"no_success_for_hours": -1}, "no_success_for_hours", "greater than or equal to"),
        ({"refused_limit": -1}, "refused_limit", "greater than or equal to 0"),
        ({"quiet_from": time(22)}, "quiet_until", "Quiet hours need both ends"),
        ({"quiet_until": time(6)}, "quiet_from", "Quiet hours need both ends"),
        ({"quiet_from": time(6), "quiet_until": time(6)}, "quiet_until", "ambiguous; choose another end"),
        ({"timezone": "Mars/Base"}, "timezone", "Unknown time zone “Mars/Base”"),
    ],
)
def test_invalid_rule_names_field_reason_and_way_out(fields, field, reason):
    rule = Rule(**{"name": "Rule", "events": ["failed"]} | fields)

    with pytest.raises(ValidationError) as caught:
        rule.full_clean()

    assert list(caught.value.message_dict) == [field]
    assert reason in " ".join(caught.value.message_dict[field])


def test_rule_with_only_a_number_of_hours_is_valid():
    Rule(name="Rule", no_success_for_hours=6).full_clean()


def utc(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


# Clocks in Berlin: from 2:00 to 3:00 on 29 March 2026, from 3:00 back to 2:00 on 25 October 2026.
@pytest.mark.parametrize(
    ("quiet", "now", "end"),
    [
        ((time(22), time(6)), "2026-07-01 19:59", None),
        ((time(22), time(6)), "2026-07-01 20:00", "2026-07-02 04:00"),
        ((time(22), time(6)), "2026-07-02 03:59", "2026-07-02 04:00"),
        ((time(22), time(6)), "2026-07-02 04:00", None),
        ((time(12), time(13)), "2026-07-01 10:30", "2026-07-01 11:00"),
        ((time(12), time(13)), "2026-07-01 11:00", None),
        # One hour shorter, one hour longer.
        ((time(22), time(6)), "2026-03-28 23:30", "2026-03-29 04:00"),
        ((time(22), time(6)), "2026-10-24 23:30", "2026-10-25 05:00"),
        # Until 2:30, which is skipped: until 3:30.
        ((time(1), time(2, 30)), "2026-03-29 01:10", "2026-03-29 01:30"),
        ((time(1), time(2, 30)), "2026-03-29 01:30", None),
        # Until 2:30, which comes twice: until the second.
        ((time(1), time(2, 30)), "2026-10-25 00:15", "2026-10-25 01:30"),
        ((time(1), time(2, 30)), "2026-10-25 00:45", "2026-10-25 01:30"),
        ((time(1), time(2, 30)), "2026-10-25 01:30", None),
    ],
)
def test_quiet_hours_end_by_the_wall_clock(quiet, now, end):
    rule = Rule(quiet_from=quiet[0], quiet_until=quiet[1], timezone="Europe/Berlin")

    assert rule.quiet_end(utc(now)) == (utc(end) if end else None)


@pytest.mark.django_db
def test_rules_of_a_service_are_its_own_and_those_of_all():
    service = make_service()
    own, of_all = make_rule(service), make_rule()
    make_rule(make_service())
    make_rule(service, is_active=False)

    assert set(Rule.objects.of_service(service.pk)) == {own, of_all}


@pytest.mark.django_db
def test_rule_does_not_apply_to_all_once_its_services_are_deleted():
    service, other = make_service(), make_service()
    make_rule(service)

    service.delete()

    assert not Rule.objects.of_service(other.pk).exists()


@pytest.mark.django_db
def test_maintenance_ends_after_its_start():
    noon = utc("2026-07-01 12:00")
    window = MaintenanceWindow(service=make_service(), starts_at=noon, ends_at=noon)

    with pytest.raises(ValidationError, match="choose a later end"):
        window.full_clean()
    with pytest.raises(IntegrityError), transaction.atomic():
        window.save()
