"""Forms of rules and maintenance windows."""

import pytest
from django.contrib.auth.models import Group
from django.test import Client

from apps.alerts.models import MaintenanceWindow, Rule
from tests.factories import make_channel, make_rule, make_service, make_user

pytestmark = pytest.mark.django_db
ADD = "/admin/alerts/rule/add/"
PERMISSIONS = (
    *("services.view_service", "alerts.view_rule", "alerts.add_rule", "alerts.change_rule"),
    *("alerts.view_channel", "alerts.view_maintenancewindow", "alerts.add_maintenancewindow"),
)


def client_of(user):
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def client():
    return client_of(make_user(is_superuser=True))


def data(**fields):
    return {
        "name": "Night",
        "events": ["failed", "recovered"],
        "refused_limit": "0",
        "timezone": "UTC",
    } | fields


def test_rule_is_added(client):
    service, channel = make_service(), make_channel()

    response = client.post(
        ADD, data(services=[service.pk], channels=[channel.pk], quiet_from="22:00", quiet_until="6:00")
    )

    assert response.status_code == 302
    rule = Rule.objects.get()
    assert (rule.events, [*rule.services.all()], [*rule.channels.all()]) == (
        ["failed", "recovered"],
        [service],
        [channel],
    )


def test_services_and_channels_are_chosen_by_checkboxes(client):
    rule = make_rule(make_service(), make_service())

    form = client.get(f"/admin/alerts/rule/{rule.pk}/change/").content.decode()

    assert "Hold down" not in form
    assert form.count('<input type="checkbox" name="services"') == 2
    assert form.count('<input type="checkbox" name="channels"') == 1


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"channels": []}, "The rule has no channel, so nobody would be alerted; choose one."),
        ({"events": []}, "The rule has no event and would never alert; choose an event"),
        ({"events": ["sleeps"]}, "Select a valid choice. sleeps is not one of the available choices."),
        ({"quiet_from": "6:00"}, "Quiet hours need both ends"),
        ({"quiet_from": "6:00", "quiet_until": "6:00"}, "ambiguous; choose another end"),
        ({"no_success_for_hours": "0"}, "Ensure this value is greater than or equal to 1."),
        ({"refused_limit": "-1"}, "Ensure this value is greater than or equal to 0."),
        ({"timezone": "Mars/Base"}, "Unknown time zone"),
    ],
)
def test_invalid_rule_is_refused_with_a_way_out(client, fields, message):
    response = client.post(ADD, data(channels=[make_channel().pk]) | fields)

    assert message in response.content.decode()
    assert not Rule.objects.exists()


def test_rules_of_hidden_services_are_not_found():
    team = Group.objects.create(name="team")
    hidden = make_rule(make_service(groups=[team]), name="Hidden")
    shown = make_rule(make_service(), name="Shown")
    client = client_of(make_user(permissions=PERMISSIONS))

    page = client.get("/admin/alerts/rule/").content.decode()

    assert ("Shown" in page, "Hidden" in page) == (True, False)
    assert client.get(f"/admin/alerts/rule/{shown.pk}/change/").status_code == 200
    assert client.get(f"/admin/alerts/rule/{hidden.pk}/change/").status_code == 302


def test_rule_for_all_services_requires_to_see_all():
    hidden = make_service(groups=[Group.objects.create(name="team")])
    client = client_of(make_user(permissions=PERMISSIONS))

    responses = [
        client.post(ADD, data(channels=[make_channel().pk], services=services)).content.decode()
        for services in ([], [hidden.pk])
    ]

    assert "a rule for all would include some that you may not see" in responses[0]
    assert "Select a valid choice" in responses[1]
    assert not Rule.objects.exists()


def test_rule_that_lost_its_channels_or_services_says_that_it_never_alerts(client):
    service, channel = make_service(), make_channel()
    make_rule(service)
    make_rule(channels=[channel])
    assert "never alerts" not in client.get("/admin/alerts/rule/").content.decode()

    service.delete()
    channel.delete()

    assert client.get("/admin/alerts/rule/").content.decode().count("None: the rule never alerts") == 2


@pytest.mark.parametrize("count", [1, 3])
def test_list_costs_the_same_for_many_rules(client, count, django_assert_num_queries):
    for _number in range(count):
        make_rule(make_service())

    # Session and user, count, rules with their services and channels.
    with django_assert_num_queries(6):
        assert client.get("/admin/alerts/rule/").status_code == 200


def test_maintenance_is_added_only_for_services_that_the_user_sees():
    service, hidden = make_service(), make_service(groups=[Group.objects.create(name="team")])
    client = client_of(make_user(permissions=PERMISSIONS))
    times = {
        "starts_at_0": "2026-07-01",
        "starts_at_1": "12:00",
        "ends_at_0": "2026-07-01",
        "ends_at_1": "13:00",
    }

    for chosen in (hidden, service):
        client.post("/admin/alerts/maintenancewindow/add/", {"service": chosen.pk, **times})

    assert [window.service for window in MaintenanceWindow.objects.all()] == [service]


def test_maintenance_that_ends_before_it_starts_is_refused(client):
    times = {
        "starts_at_0": "2026-07-01",
        "starts_at_1": "12:00",
        "ends_at_0": "2026-07-01",
        "ends_at_1": "11:00",
    }

    response = client.post("/admin/alerts/maintenancewindow/add/", {"service": make_service().pk, **times})

    assert "The maintenance ends before it starts; choose a later end." in response.content.decode()
