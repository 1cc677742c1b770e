"""Audit log: list, filters, pages and permissions."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.test import Client
from django.utils import timezone

from apps.api.models import ApiToken
from apps.audit.models import Action, AuditEvent
from apps.audit.recording import record_change, record_event
from apps.runs.models import PayloadRead
from apps.services.models import Service
from tests.api.conftest import client_of
from tests.factories import make_payload, make_run, make_service, make_token, make_user

pytestmark = pytest.mark.django_db
URL = "/api/v1/audit/"


def names(response: Any) -> list[str]:
    assert response.status_code == 200, response.json()
    return [entry["object_name"] for entry in response.json()["results"]]


def test_entry_has_the_fields_of_the_contract(client: Client, service: Service) -> None:
    event = record_event(
        Action.CHANGED,
        user=make_user("ada"),
        address="10.0.0.1",
        subject=service,
        changes=[{"field": "max_attempts", "old": 1, "new": 3}],
    )
    event.refresh_from_db()

    assert client.get(URL).json()["results"] == [
        {
            "id": f"event-{event.pk}",
            "occurred_at": f"{event.occurred_at:%Y-%m-%dT%H:%M:%S.%fZ}",
            "action": "changed",
            "user": "ada",
            "command": "",
            "token": "",
            "address": "10.0.0.1",
            "kind": "service",
            "object_id": str(service.pk),
            "object_name": "Orders",
            "detail": "",
            "changes": [{"field": "max_attempts", "old": 1, "new": 3}],
            "count": 1,
        }
    ]


def test_entry_of_an_action_through_the_api_names_the_token(service: Service) -> None:
    token, secret = make_token(scopes=[ApiToken.Scope.RUN_START])

    started = client_of(secret).post(
        f"/api/v1/services/{service.slug}/runs/", {}, content_type="application/json"
    )
    record_event(Action.EXPORTED, subject=service)

    assert started.status_code == 202
    assert [*AuditEvent.objects.order_by("pk").values_list("action", "token")] == [
        ("started", f"{token.name} ({token.prefix}…)"),
        ("exported", ""),
    ]


def test_list_is_filtered(client: Client, service: Service) -> None:
    now, ada = timezone.now(), make_user("ada")
    for name, days, subject in (("new", 0, service), ("old", 20, service), ("other", 20, ada)):
        event = record_event(Action.EXPORTED, name=name, subject=subject, user=ada if days else None)
        AuditEvent.objects.filter(pk=event.pk).update(occurred_at=now - timedelta(days=days))
    week_ago = (now - timedelta(days=7)).isoformat()

    def filtered(**query: Any) -> list[str]:
        return names(client.get(URL, query))

    assert filtered() == ["new", "other", "old"]
    assert filtered(user="ada") == ["other", "old"]
    assert filtered(user="nobody") == filtered(action="started") == []
    assert filtered(user="ada", action="exported") == ["other", "old"]
    assert filtered(kind="service") == ["new", "old"]
    assert filtered(kind="service", object="orders", occurred_before=week_ago) == ["old"]
    assert filtered(kind="service", object=service.pk, occurred_after=week_ago) == ["new"]


@pytest.mark.parametrize(
    ("query", "field", "way_out"),
    [
        ({"kind": "planet"}, "kind", ", service, connection, "),
        ({"object": "orders"}, "object", "kind"),
        ({"occurred_after": "soon"}, "occurred_after", "ISO 8601"),
        ({"action": "flown"}, "action", "Allowed: added, changed, "),
        ({"subject": "orders"}, "subject", "Allowed: user, action, "),
        ({"cursor": "x"}, "cursor", "unchanged"),
        ({"limit": "0"}, "limit", "from 1 to 500"),
    ],
)
def test_invalid_parameter_is_named_with_the_way_out(
    client: Client, query: dict[str, str], field: str, way_out: str
) -> None:
    response = client.get(URL, query)

    assert (response.status_code, list(response.json()["errors"])) == (400, [field])
    assert way_out in response.json()["errors"][field][0]


def test_pages_lead_forth_and_back(client: Client, service: Service) -> None:
    user = make_user("ada")
    run = make_run(service)
    for number in range(3):
        record_event(Action.EXPORTED, name=f"event {number}")
        record_change(user, service, {"number": number})
        PayloadRead.objects.create(payload=make_payload(run, name=f"{number}"), user=user)

    forth, address = [], f"{URL}?limit=4"
    while address:
        page = client.get(address).json()
        forth.append([entry["id"] for entry in page["results"]])
        address, last = page["next"], page
    back, address = [forth[-1]], last["previous"]
    while address:
        page = client.get(address).json()
        back.insert(0, [entry["id"] for entry in page["results"]])
        address = page["previous"]

    assert [len(ids) for ids in forth] == [4, 4, 1]
    assert len({number for ids in forth for number in ids}) == 9
    assert back == forth


@pytest.mark.parametrize("number", [1, 3])
def test_list_takes_a_constant_query_count(
    client: Client, service: Service, number: int, django_assert_num_queries: Any
) -> None:
    for _ in range(number):
        user = make_user()
        record_event(Action.EXPORTED, subject=service, user=user)
        record_change(user, service, {})
        PayloadRead.objects.create(payload=make_payload(make_run(service)), user=user)
    client.get(URL)

    # The token; events, history, reads.
    with django_assert_num_queries(4):
        response = client.get(URL)

    assert len(names(response)) == 3 * number


def test_list_requires_scope_permission_and_an_unlimited_token(service: Service) -> None:
    reader = make_user(permissions=["audit.view_auditevent"])
    other_scopes = [scope for scope in ApiToken.Scope.values if scope != ApiToken.Scope.RUN_READ]

    tokens = {
        "permitted": make_token(reader),
        "scope": make_token(reader, scopes=other_scopes),
        "permission": make_token(make_user(permissions=["services.view_service"])),
        "limited": make_token(services=[service]),
    }

    statuses = {name: client_of(secret).get(URL).status_code for name, (_token, secret) in tokens.items()}
    assert statuses == {"permitted": 200, "scope": 403, "permission": 403, "limited": 403}
    assert Client().get(URL).status_code == 401


def test_list_can_be_read_only(client: Client) -> None:
    assert {getattr(client, method)(URL).status_code for method in ("post", "put", "patch", "delete")} == {
        405
    }


def test_hidden_services_are_not_named() -> None:
    hidden = make_service(name="Concealed", groups=[Group.objects.create(name="Finance")])
    user = make_user("ada")
    record_event(Action.EXPORTED, subject=hidden, user=user)
    record_change(user, hidden, {"name": "Concealed before"})
    PayloadRead.objects.create(payload=make_payload(make_run(hidden)), user=user)
    record_event(Action.LOGIN, user=user, subject=user)
    _token, secret = make_token(make_user(permissions=["audit.view_auditevent", "services.view_service"]))

    assert names(client_of(secret).get(URL)) == ["ada"]
