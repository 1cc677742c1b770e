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

from tests.factories import make_connection, make_payload, make_run, make_service, make_token, make_user

pytestmark = pytest.mark.django_db

# Open to everybody, because they show no data of services.
PUBLIC = ("/", "/livez", "/readyz", "/api/schema/", "/api/docs/", "/admin/login/")
# Open to all staff: home page, help, password, logout, texts for the browser, and descriptions of expressions.
OPEN_TO_STAFF = (
    "/admin/services/service/describe-expression/",
    "/admin/services/service/describe-schedule/",
    "/admin/",
    "/admin/password_change/",
    "/admin/password_change/done/",
    "/admin/help/",
    "/admin/search/",
    "/admin/logout/",
    "/admin/jsi18n/",
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
        "pk": placeholders["payload"] if "/payloads/<uuid" in route else placeholders["run"],
        **{f"{name}_id": value for name, value in placeholders.items()},
    }
    return re.sub(r"<(?:\w+:)?(\w+)>", lambda match: str(values.get(match[1], uuid.UUID(int=1))), route)


def statuses(client: Client, path: str) -> set[int]:
    return {client.get(path).status_code, client.post(path).status_code}


def test_routes_are_found():
    assert len(ROUTES) > 60
    assert {"/api/v1/runs/<int:pk>/", "/admin/runs/run/<int:run_id>/log/", "/livez"} <= set(ROUTES)


@pytest.mark.parametrize("route", [route for route in ROUTES if route not in PUBLIC])
def test_anonymous_request_is_rejected_or_redirected_to_login(route, placeholders):
    path = fill(route, placeholders)

    found = statuses(Client(), path)

    if route.startswith("/api/v1/"):
        assert found <= {401, 404, 405}
        assert 401 in found or Client().put(path).status_code == 401
    elif route == "/api/":
        assert found <= {404}
    else:
        assert route.startswith("/admin/")
        assert found <= CLOSED
        assert (
            Client()
            .get(path)
            .headers.get("Location", "/admin/login/")
            .startswith(("/admin/login/", "/admin/"))
        )


@pytest.mark.parametrize("route", [route for route in ROUTES if route.startswith("/admin/")])
def test_token_does_not_open_the_console(route, placeholders):
    _token, secret = make_token()
    client = Client(headers={"Authorization": f"Bearer {secret}"})

    if route not in PUBLIC:
        assert statuses(client, fill(route, placeholders)) <= CLOSED


@pytest.mark.parametrize(
    "route",
    [route for route in ROUTES if route.startswith("/admin/") and route not in (*PUBLIC, *OPEN_TO_STAFF)],
)
def test_staff_without_permissions_are_rejected(route, placeholders):
    client = Client()
    client.force_login(make_user())

    assert statuses(client, fill(route, placeholders)) <= CLOSED


@pytest.mark.parametrize(
    "route",
    [route for route in ROUTES if re.match(r"/admin/(services/service|runs/run|runs/payload)/<", route)],
)
def test_staff_of_another_group_are_rejected(route, placeholders):
    user = make_user(groups=[Group.objects.create(name="others")])
    user.user_permissions.set(Permission.objects.all())
    client = Client()
    client.force_login(user)

    assert statuses(client, fill(route, placeholders)) <= CLOSED
