"""Rules in YAML: loading, errors with their line, export, JSON Schema."""

import jsonschema
import pytest

from apps.alerts.models import Rule
from apps.services.definition.export import export_services
from apps.services.definition.loading import LoadError, load_services
from apps.services.definition.schema import service_file_schema
from apps.services.definition.yaml_document import YamlDocument
from apps.services.models import Service
from tests.factories import make_channel, make_rule, make_service

pytestmark = pytest.mark.django_db
RULES = """\
channels:
  ops-mail: {kind: email, to: [ops@example.com]}
  pager: {kind: email, to: [pager@example.com]}
services:
  contacts:
    kind: reported
    alerts: [{on: [failed, recovered, late, refused, problem], no_success_for_hours: 6, to: [ops-mail, pager]}]
"""


def file_with(alerts):
    return f"services:\n  contacts:\n    kind: reported\n    alerts:\n      - {alerts}\n"


def test_rules_are_loaded_and_exported_unchanged():
    load_services(RULES)

    rule = Rule.objects.get()
    assert (rule.name, rule.events, rule.no_success_for_hours) == (
        "Contacts",
        ["failed", "recovered", "late", "refused", "problem"],
        6,
    )
    assert [channel.name for channel in rule.channels.order_by("name")] == ["ops-mail", "pager"]
    assert [service.slug for service in rule.services.all()] == ["contacts"]
    assert "service contacts" in load_services(RULES).unchanged
    value = YamlDocument(RULES).value
    exported = YamlDocument(export_services(Service.objects.all(), with_sections=True)).value
    assert exported["services"]["contacts"]["alerts"] == value["services"]["contacts"]["alerts"]
    jsonschema.validate(value, service_file_schema())


def test_every_option_is_exported_as_it_was_loaded():
    make_channel(name="ops")
    text = file_with(
        "{on: [refused, doctor], to: [ops], name: Night, refused_limit: 5, quiet_from: 22:00, quiet_until: 6:30, "
        "timezone: Europe/Berlin, daily_reminder: true, include_record_keys: true, is_active: false}"
    )

    load_services(text)
    exported = export_services(Service.objects.all())

    assert load_services(exported).unchanged == ("service contacts",)
    assert YamlDocument(exported).value["services"]["contacts"]["alerts"] == [
        {
            "on": ["refused", "doctor"],
            "to": ["ops"],
            "name": "Night",
            "refused_limit": 5,
            "quiet_from": "22:00",
            "quiet_until": "06:30",
            "timezone": "Europe/Berlin",
            "daily_reminder": True,
            "include_record_keys": True,
            "is_active": False,
        }
    ]


def test_file_changes_only_rules_of_the_service_alone():
    make_channel(name="ops")
    service = make_service(
        slug="contacts", kind="reported", source_connection=None, destination_connection=None
    )
    first, second = make_rule(service), make_rule(service)
    others = [make_rule(), make_rule(service, make_service())]

    single = file_with("{on: failed, to: ops}")
    jsonschema.validate(YamlDocument(single).value, service_file_schema())
    assert load_services(single).updated == ("service contacts",)
    assert set(Rule.objects.all()) == {first, *others}

    load_services("services: {contacts: {kind: reported}}")
    assert Rule.objects.count() == 3
    load_services("services: {contacts: {kind: reported, alerts: []}}")
    assert set(Rule.objects.all()) == set(others)
    assert second.pk not in Rule.objects.values_list("pk", flat=True)


@pytest.mark.parametrize(
    ("alerts", "key", "reason"),
    [
        ("{on: [failed]}", "0.to", "Required"),
        ("{on: [failed], to: []}", "0.to", "The rule has no channel"),
        ("{on: [failed], to: [ops, nobody]}", "0.to", "Unknown channel “nobody”. Allowed: ops."),
        ("{to: [ops]}", "0.on", "The rule has no event"),
        ("{on: [sleeps], to: [ops]}", "0.on", "Allowed: failed"),
        ("{on: [failed], to: [ops], no_success_for_hours: 0}", "0.no_success_for_hours", "1"),
        ("{on: [refused], to: [ops], refused_limit: -1}", "0.refused_limit", "0"),
        ("{on: [failed], to: [ops], quiet_from: 25:00, quiet_until: 6:00}", "0.quiet_from", ""),
        (
            "{on: [failed], to: [ops], quiet_from: night, quiet_until: 6:00}",
            "0.quiet_from",
            "write one such as 22:00",
        ),
        ("{on: [failed], to: [ops], quiet_from: 6:00}", "0.quiet_until", "Quiet hours need both ends"),
        ("{on: [failed], to: [ops], every: day}", "0.every", "Unknown option"),
        ("failed", "0", ""),
    ],
)
def test_invalid_rule_names_line_key_and_reason(alerts, key, reason):
    make_channel(name="ops")

    with pytest.raises(LoadError) as caught:
        load_services(file_with(alerts))

    problem = caught.value.problems[0]
    assert problem.key.startswith(f"services.contacts.alerts.{key}")
    assert problem.line >= 4
    assert reason in problem.reason
    assert not Rule.objects.exists()


def test_rules_must_be_a_list():
    with pytest.raises(LoadError, match="Not a list; write one rule an item"):
        load_services("services: {contacts: {kind: reported, alerts: {on: [failed]}}}")


SHARED = """\
channels: {ops: {kind: email, to: [ops@example.com]}}
services:
  contacts: {kind: reported}
  invoices: {kind: reported}
rules:
  Finance: {services: [contacts, invoices], on: [failed], to: [ops]}
  Everything: {services: all, on: [doctor], to: [ops], daily_reminder: true}
"""


def test_rules_of_several_services_and_of_all_are_loaded_and_exported_unchanged():
    assert load_services(SHARED).created[-2:] == ("rule Finance", "rule Everything")

    finance, everything = Rule.objects.order_by("pk")
    assert sorted(service.slug for service in finance.services.all()) == ["contacts", "invoices"]
    assert (finance.is_for_all, everything.is_for_all) == (False, True)
    assert {"rule Finance", "rule Everything"} <= set(load_services(SHARED).unchanged)
    value = YamlDocument(SHARED).value
    exported = YamlDocument(export_services(Service.objects.all(), with_sections=True)).value
    assert exported["rules"] == value["rules"]
    jsonschema.validate(value, service_file_schema())


@pytest.mark.parametrize(
    ("services", "reason"),
    [
        ("[]", "at least two services"),
        ("[contacts]", "at least two services"),
        ("[contacts, nowhere]", "Unknown service “nowhere”."),
    ],
)
def test_rule_of_too_few_or_unknown_services_is_refused(services, reason):
    with pytest.raises(LoadError) as caught:
        load_services(SHARED.replace("[contacts, invoices]", services))

    [problem] = caught.value.problems
    assert (problem.line, problem.key.removeprefix("rules.Finance.")) == (6, "services")
    assert reason in problem.reason
    assert not Rule.objects.exists()
