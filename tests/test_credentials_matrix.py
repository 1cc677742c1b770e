"""Every route of the site with credentials that must not open it.

A new route is covered automatically; a public one must be listed in PUBLIC. tests/api/tokens/test_permissions.py has
the finer rules of the API.
"""

import re
import uuid
from collections.abc import Iterator

import pytest
from django.contrib.auth.models import Group, Permission
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from tests.factories import (
    make_connection,
    make_incident,
    make_payload,
    make_problem,
    make_run,
    make_service,
    make_token,
    make_user,
)

pytestmark = pytest.mark.django_db

# Open to everybody, because they show no data of services.
PUBLIC = (
    *("/", "/livez", "/readyz", "/api/schema/", "/api/docs/", "/admin/login/"),
    # Reset of a forgotten password.
    *("/admin/account/password/", "/admin/account/password/sent/", "/admin/account/password/done/"),
    "/admin/^account/password/(?P<uidb36>[0-9A-Za-z]+)-<key>/",
)
# Open to all staff: home page, help, password, logout, texts for the browser, and descriptions of expressions.
OPEN_TO_STAFF = (
    "/admin/services/service/describe-expression/",
    "/admin/time-zone/",
    "/admin/services/service/describe-schedule/",
    "/admin/",
    "/admin/password_change/",
    "/admin/password_change/done/",
    "/admin/help/",
    "/admin/search/",
    "/admin/logout/",
    "/admin/jsi18n/",
    # The CSRF token of the user's own session.
    "/admin/session/",
    "/admin/time-zone/",
    # The user's own second factors and sessions.
    "/admin/account/2fa/",
    "/admin/account/sessions/",
    # Cancels only trials of the same user.
    "/admin/trials/cancel/",
)
CLOSED = {302, 403, 404, 405}


def routes(resolver: URLResolver, before: str = "/") -> Iterator[str]:
    """The paths of all routes, with their placeholders; a regular expression becomes a path that matches nothing."""
    for pattern in resolver.url_patterns:
        text = before + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from routes(pattern, text)
        elif isinstance(pattern, URLPattern):
            yield re.sub(r"\^?\(\?P<(\w+)>[^)]*\)/?\$", r"<\1>/", text)


ROUTES = sorted(set(routes(get_resolver())))


@pytest.fixture
def placeholders():
    """Values of the placeholders: rows that only one group may see."""
    team = Group.objects.create(name="team")
    service = make_service(slug="orders", groups=[team])
    run = make_run(service, status="running", store_pull=True)
    token, _secret = make_token()
    return {
        "service": service.pk,
        "connection": make_connection().pk,
        "run": run.pk,
        "payload": make_payload(run).pk,
        "problem": make_problem(service).pk,
        "incident": make_incident(service).pk,
        "token": token.pk,
    }


def fill(route: str, placeholders: dict[str, object]) -> str:
    kind = next((name for name in ("service", "connection", "run", "payload") if f"/{name}/" in route), "")
    values = {
        "object_id": placeholders.get(kind, 1),
        "slug": "orders",
        "kind": "pull",
        "name": "a",
        "state": "on",
        "app_label": "runs",
        "url": "nowhere",
        "content_type_id": 1,
        "id": 1,
        "pk": _primary_key(route, placeholders),
        **{f"{name}_id": value for name, value in placeholders.items()},
    }
    return re.sub(r"<(?:\w+:)?(\w+)>", lambda match: str(values.get(match[1], uuid.UUID(int=1))), route)


def _primary_key(route: str, placeholders: dict[str, object]) -> object:
    if "/problems/" in route:
        return placeholders["problem"]
    if "/incidents/" in route:
        return placeholders["incident"]
    return placeholders["payload"] if "/payloads/<uuid" in route else placeholders["run"]


def statuses(client: Client, path: str) -> set[int]:
    return {client.get(path).status_code, client.post(path).status_code}


def test_routes_are_found():
    assert len(ROUTES) > 60
    assert {"/api/v1/runs/<int:pk>/", "/admin/runs/run/<int:run_id>/log/", "/livez"} <= set(ROUTES)


def opened(client: Client, routes: list[str], placeholders: dict[str, object]) -> dict[str, set[int]]:
    """Returns the routes that do not reject this client, with their statuses."""
    found = {route: statuses(client, fill(route, placeholders)) for route in routes}
    return {route: codes for route, codes in found.items() if not codes <= CLOSED}


def test_anonymous_request_is_rejected_by_the_api(placeholders):
    routes = [route for route in ROUTES if route.startswith("/api/v1/")]
    paths = {route: fill(route, placeholders) for route in routes}

    found = {
        route: statuses(Client(), path) | {Client().put(path).status_code} for route, path in paths.items()
    }

    assert {route: codes for route, codes in found.items() if not {401} <= codes <= {401, 404, 405}} == {}
    assert statuses(Client(), "/api/") == {404}


def test_anonymous_request_is_redirected_to_login_by_the_console(placeholders):
    routes = [route for route in ROUTES if route not in PUBLIC and not route.startswith("/api/")]

    locations = [Client().get(fill(route, placeholders)).get("Location", "/admin/login/") for route in routes]

    assert {route for route in routes if not route.startswith("/admin/")} == set()
    assert opened(Client(), routes, placeholders) == {}
    assert [location for location in locations if not location.startswith("/admin/")] == []


def test_token_does_not_open_the_console(placeholders):
    _token, secret = make_token()
    client = Client(headers={"Authorization": f"Bearer {secret}"})
    routes = [route for route in ROUTES if route.startswith("/admin/") and route not in PUBLIC]

    assert opened(client, routes, placeholders) == {}


def test_staff_without_permissions_are_rejected(placeholders):
    client = Client()
    client.force_login(make_user())
    closed = [
        route for route in ROUTES if route.startswith("/admin/") and route not in (*PUBLIC, *OPEN_TO_STAFF)
    ]

    assert opened(client, closed, placeholders) == {}


def test_staff_of_another_group_are_rejected(placeholders):
    user = make_user(groups=[Group.objects.create(name="others")])
    user.user_permissions.set(Permission.objects.all())
    client = Client()
    client.force_login(user)
    pattern = r"/admin/(services/service|runs/run|runs/payload|problems)/<"
    routes = [route for route in ROUTES if re.match(pattern, route)]

    assert len(routes) > 20
    assert opened(client, routes, placeholders) == {}
