"""Every route with every kind of token: authentication, scopes, permissions of the user, visibility."""

import uuid
from datetime import timedelta

import pytest
from django.contrib.auth.models import Group
from django.test import Client
from django.urls import get_resolver, resolve
from django.utils import timezone

from apps.alerts.delivery.message import Message
from apps.alerts.delivery.outbox import queue_message
from apps.api.models import ApiToken, new_secret
from apps.api.tokens.permissions import TokenHasScope
from apps.runs.models import Record
from tests.api.conftest import body_of, client_of
from tests.factories import (
    make_channel,
    make_incident,
    make_payload,
    make_problem,
    make_run,
    make_service,
    make_token,
    make_user,
)

pytestmark = pytest.mark.django_db

EVERY_PERMISSION = (
    "services.view_service",
    "runs.start_run",
    "runs.cancel_run",
    "runs.view_payload",
    "runs.download_payload",
    "runs.view_run",
    "alerts.change_problem",
    "alerts.view_delivery",
    "audit.view_auditevent",
)
# Method, path, required scope, and required permission of the user beside those to see the service.
ROUTES = {
    "services": ("get", "/api/v1/services/", "run:read", None),
    "service": ("get", "/api/v1/services/{slug}/", "run:read", None),
    "start": ("post", "/api/v1/services/{slug}/runs/", "run:start", "runs.start_run"),
    "runs": ("get", "/api/v1/runs/", "run:read", None),
    "run": ("get", "/api/v1/runs/{run}/", "run:read", None),
    "cancel": ("post", "/api/v1/runs/{run}/cancel/", "run:start", "runs.cancel_run"),
    "resync": ("post", "/api/v1/runs/{ended}/resync/", "run:start", "runs.start_run"),
    "log": ("get", "/api/v1/runs/{run}/log/", "run:read", None),
    "log.txt": ("get", "/api/v1/runs/{run}/log.txt", "run:read", None),
    "log.ndjson": ("get", "/api/v1/runs/{run}/log.ndjson", "run:read", None),
    "records": ("get", "/api/v1/records/", "run:read", None),
    "deliveries": ("get", "/api/v1/alerts/deliveries/", "run:read", "alerts.view_delivery"),
    "audit": ("get", "/api/v1/audit/", "run:read", "audit.view_auditevent"),
    "incidents": ("get", "/api/v1/alerts/incidents/", "run:read", None),
    "incident": ("get", "/api/v1/alerts/incidents/{incident}/", "run:read", None),
    "problems": ("get", "/api/v1/problems/", "run:read", None),
    "problem": ("get", "/api/v1/problems/{problem}/", "run:read", None),
    "change a problem": ("patch", "/api/v1/problems/{problem}/", "run:start", "alerts.change_problem"),
    "payloads": ("get", "/api/v1/payloads/", "payload:read", "runs.view_payload"),
    "payload": ("get", "/api/v1/payloads/{payload}/", "payload:read", "runs.view_payload"),
    "report lines": ("post", "/api/v1/runs/{reported}/log/", "run:report", "runs.start_run"),
    "report records": ("post", "/api/v1/runs/{reported}/records/", "run:report", "runs.start_run"),
    "report a file": ("put", "/api/v1/runs/{reported}/payloads/pull/a", "run:report", "runs.start_run"),
    "finish": ("post", "/api/v1/runs/{reported}/finish/", "run:report", "runs.start_run"),
    "open": ("post", "/api/v1/services/{reported_slug}/runs/", "run:report", "runs.start_run"),
    "download": ("get", "/api/v1/payloads/{payload}/download/", "payload:read", "runs.download_payload"),
    "metrics": ("get", "/api/v1/metrics/", "metrics:read", "runs.view_run"),
}
LISTS = ("services", "runs", "records", "payloads", "problems", "incidents", "deliveries")
# Cover all services together.
OVERALL = ("metrics", "audit")
# Number of rows that `places` creates.
OTHERS = {
    "services": 2,
    "runs": 3,
    "records": 1,
    "payloads": 1,
    "problems": 1,
    "incidents": 1,
    "deliveries": 1,
}


def add_incident(service):
    """Creates an incident with a delivery."""
    incident = make_incident(service)
    queue_message([make_channel()], Message("failed", "Orders", "Run 7 failed", reference=incident.reference))
    return incident


def add_record(run):
    Record.objects.create(
        run=run, key="10045", outcome=1, step=4, sequence=1, page=1, batch=1, recorded_at=run.started_at
    )
    type(run).objects.filter(pk=run.pk).update(has_records=True)


@pytest.fixture
def team():
    return Group.objects.create(name="team")


@pytest.fixture
def places(team, member):
    """Values of the placeholders in the paths: running runs of services that only the team may see."""
    service = make_service(groups=[team])
    run = make_run(service, status="running", store_pull=True)
    ended = make_run(service)
    add_record(ended)
    elsewhere = make_service(kind="reported", groups=[team])
    reported = make_run(elsewhere, status="running", started_by=member, worker="reporter test")
    return {
        "slug": service.slug,
        "run": run.pk,
        "ended": ended.pk,
        "payload": make_payload(run).pk,
        "problem": make_problem(service).pk,
        "incident": add_incident(service).pk,
        "reported_slug": elsewhere.slug,
        "reported": reported.pk,
    }


@pytest.fixture
def member(team):
    return make_user(permissions=EVERY_PERMISSION, groups=[team])


def call(client: Client, route: str, places: dict[str, object]):
    method, path, _scope, _permission = ROUTES[route]
    bodies = {
        "finish": {"status": "succeeded"},
        "report lines": {"lines": []},
        "report records": {"records": []},
        "resync": {"keys": ["10045"]},
    }
    body = bodies.get(route, {})
    response = getattr(client, method)(path.format(**places), body, content_type="application/json")
    body_of(response)
    return response


def test_matrix_covers_every_route():
    routes = {
        pattern.name
        for pattern in get_resolver("apps.api.urls").url_patterns
        if pattern.name and pattern.name not in ("schema", "docs")
    }

    places = {
        "slug": "a",
        "run": 1,
        "ended": 1,
        "problem": 1,
        "incident": 1,
        "payload": uuid.uuid4(),
        "reported": 1,
        "reported_slug": "a",
    }

    covered = {
        resolve(path.format(**places)).url_name for _method, path, _scope, _permission in ROUTES.values()
    }

    assert covered == routes


@pytest.mark.parametrize("route", ROUTES)
def test_token_with_scope_and_permission_is_accepted(route, places, member, broker_messages):
    _token, secret = make_token(member)

    response = call(client_of(secret), route, places)

    assert response.status_code in (200, 201, 202)


def test_missing_token_is_401(places):
    for route in ROUTES:
        response = call(Client(), route, places)

        assert (route, response.status_code) == (route, 401)
        assert response["WWW-Authenticate"] == "Bearer"
        assert response["Content-Type"] == "application/problem+json"
        assert "Authorization: Bearer synclog_" in response.json()["detail"]


@pytest.mark.parametrize("route", ["runs", "download"])
@pytest.mark.parametrize("kind", ["unknown", "expired", "revoked", "of an inactive user"])
def test_unusable_token_is_401(route, kind, places, member):
    token, secret = make_token(member)
    match kind:
        case "unknown":
            secret = new_secret()
        case "expired":
            ApiToken.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
        case "revoked":
            token.revoke()
        case "of an inactive user":
            member.is_active = False
            member.save()

    response = call(client_of(secret), route, places)

    assert response.status_code == 401
    assert response["WWW-Authenticate"] == "Bearer"


def test_token_without_the_scope_is_403(places, member):
    for route, (_method, _path, scope, _permission) in ROUTES.items():
        _token, secret = make_token(member, scopes=set(ApiToken.Scope.values) - {scope})

        response = call(client_of(secret), route, places)

        assert (route, response.status_code) == (route, 403)
        assert scope in response.json()["detail"]


def test_token_whose_user_lacks_the_permission_is_403(places, team):
    user = make_user(permissions=["services.view_service"], groups=[team])
    client = client_of(make_token(user)[1])

    for route, (_method, _path, _scope, permission) in ROUTES.items():
        if permission:
            response = call(client, route, places)

            assert (route, response.status_code) == (route, 403)
            assert permission in response.json()["detail"]


def test_download_requires_more_than_the_permission_to_view_payloads(places, team):
    user = make_user(permissions=["services.view_service", "runs.view_payload"], groups=[team])
    client = client_of(make_token(user)[1])

    assert call(client, "payload", places).status_code == 200
    assert call(client, "download", places).status_code == 403


@pytest.mark.parametrize(
    "kind",
    ["not in the group", "without view_service", "without any permission", "token for another service"],
)
def test_invisible_row_is_404(kind, places, team):
    match kind:
        case "not in the group":
            secret = make_token(make_user(permissions=EVERY_PERMISSION))[1]
        case "without any permission":
            secret = make_token(make_user())[1]
        case "without view_service":
            secret = make_token(make_user(permissions=EVERY_PERMISSION[1:], groups=[team]))[1]
        case _:
            secret = make_token(services=[make_service()])[1]

    client = client_of(secret)
    for route in ROUTES:
        if route not in (*LISTS, *OVERALL):
            response = call(client, route, places)

            assert (route, response.status_code) == (route, 404)
            assert response["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize("route", LISTS)
def test_lists_contain_visible_rows_only(route, places):
    own = make_service()
    run = make_run(own, store_pull=True)
    make_payload(run)
    make_problem(own)
    add_incident(own)
    add_record(run)
    unlimited = client_of(make_token()[1])
    limited = client_of(make_token(services=[own])[1])
    stranger = client_of(make_token(make_user(permissions=EVERY_PERMISSION[1:]))[1])

    counts = [len(call(client, route, places).json()["results"]) for client in (unlimited, limited, stranger)]

    assert counts == [1 + OTHERS[route], 1, 0]


def test_token_limited_to_a_deleted_service_sees_nothing(places):
    gone = make_service()
    client = client_of(make_token(services=[gone])[1])

    gone.delete()

    assert client.get("/api/v1/services/").json()["results"] == []


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer a b",
        "Basic dXNlcjpwYXNz",
        "Bearer synclog_short",
        "Bearer \x00\xff",
        "Token {token}",
        "Bearer {token}x",
        "Bearer x{token}",
        "Bearer " + "synclog_" + "é" * 49,
        "Bearer " + "{token}" * 100,
    ],
)
def test_malformed_token_costs_no_query(header, django_assert_num_queries):
    header = header.replace("{token}", new_secret())

    with django_assert_num_queries(0):
        response = Client().get("/api/v1/runs/", headers={"Authorization": header})

    assert response.status_code == 401
    assert response["WWW-Authenticate"] == "Bearer"


def test_unknown_token_costs_one_query(django_assert_num_queries):
    with django_assert_num_queries(1):
        response = client_of(new_secret()).get("/api/v1/runs/")

    assert response.status_code == 401


def test_last_use_is_recorded_with_the_address_at_most_once_a_minute(django_assert_num_queries):
    token, secret = make_token()
    client = client_of(secret)

    client.get("/api/v1/runs/", REMOTE_ADDR="2001:db8::7")
    token.refresh_from_db()
    first_use = token.last_used_at
    client.get("/api/v1/runs/", REMOTE_ADDR="2001:db8::7")
    token.refresh_from_db()

    assert token.last_used_from == "2001:db8::7"
    assert first_use is not None
    assert token.last_used_at == first_use


def test_use_through_a_unix_socket_has_no_address():
    token, secret = make_token()

    client_of(secret).get("/api/v1/runs/", REMOTE_ADDR="")

    token.refresh_from_db()
    assert token.last_used_from is None
    assert token.last_used_at is not None


def test_view_without_declared_requirements_is_refused():
    token, _secret = make_token()

    class Request:
        auth = token
        user = token.user
        method = "GET"

    class View:
        http_method_names = ("get",)

        def get(self): ...

    permission = TokenHasScope()

    assert permission.has_permission(Request(), View()) is False
    assert permission.message


def test_unknown_payload_is_404(client):
    assert client.get(f"/api/v1/payloads/{uuid.uuid4()}/").status_code == 404
