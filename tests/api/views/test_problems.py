"""Problems: list, filters, detail and changes."""

from datetime import timedelta

import pytest
from django.utils import timezone

from apps.alerts.models import Problem, ProblemChange
from tests.api.conftest import client_of
from tests.factories import make_problem, make_service, make_token, make_user

pytestmark = pytest.mark.django_db
URL = "/api/v1/problems/"


def patch(client, problem, **body):
    return client.patch(f"{URL}{problem.pk}/", body, content_type="application/json")


def titles(response):
    assert response.status_code == 200, response.json()
    return [problem["title"] for problem in response.json()["results"]]


def test_problem_has_the_fields_of_the_contract(client, service):
    problem = make_problem(service, assignee=make_user("ada"), note="Ask the shop")

    assert client.get(f"{URL}{problem.pk}/").json() == {
        "id": problem.pk,
        "service": "orders",
        "title": "Customer 17 has no address",
        "level": "error",
        "state": "open",
        "muted_until": None,
        "muted_rate": None,
        "assignee": "ada",
        "note": "Ask the shop",
        "first_seen_at": f"{problem.first_seen_at:%Y-%m-%dT%H:%M:%S.%fZ}",
        "last_seen_at": f"{problem.last_seen_at:%Y-%m-%dT%H:%M:%S.%fZ}",
        "resolved_at": None,
        "reopened_at": None,
    }


@pytest.mark.parametrize("number", [1, 3])
def test_list_takes_a_constant_query_count(client, service, number, django_assert_num_queries):
    for order in range(number):
        make_problem(service, f"Cause {chr(97 + order)}", assignee=make_user())

    with django_assert_num_queries(2):
        response = client.get(URL)

    assert len(response.json()["results"]) == number


def test_list_is_filtered_by_service_and_state_and_has_pages(client, service):
    now = timezone.now()
    for order, state in enumerate(Problem.State):
        make_problem(service, state.value, state=state, last_seen_at=now - timedelta(hours=order))
    make_problem(title="elsewhere", last_seen_at=now - timedelta(days=1))

    assert titles(client.get(URL)) == ["open", "muted", "resolved", "elsewhere"]
    assert titles(client.get(URL, {"service": "orders", "state": "open,resolved"})) == ["open", "resolved"]
    first = client.get(URL, {"limit": 2}).json()
    assert titles(client.get(first["next"])) == ["resolved", "elsewhere"]
    assert client.get(URL, {"state": "solved"}).status_code == 400
    assert client.get(URL, {"sate": "open"}).status_code == 400


def test_change_is_recorded_with_the_user_of_the_token(service):
    user = make_user("ada", is_superuser=True)
    _token, secret = make_token(user)
    problem = make_problem(service)

    response = patch(client_of(secret), problem, state="resolved", assignee="ada", note="Fixed")

    assert response.status_code == 200, response.json()
    document = response.json()
    assert (document["state"], document["assignee"], document["note"]) == ("resolved", "ada", "Fixed")
    assert document["resolved_at"] is not None
    changes = ProblemChange.objects.order_by("pk").values_list("action", "user__username")
    assert list(changes) == [("resolved", "ada"), ("assigned", "ada"), ("noted", "ada")]
    assert patch(client_of(secret), problem, assignee=None).json()["assignee"] is None


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"state": "solved"}, "state"),
        ({"assignee": "nobody"}, "assignee"),
        ({"assignee": "a\x00"}, "assignee"),
        ({"note": "x" * 4001}, "note"),
        ({"title": "other"}, "title"),
    ],
)
def test_invalid_change_is_refused_whole(client, service, body, field):
    problem = make_problem(service)

    response = patch(client, problem, **{"note": "Fixed"} | body)

    assert response.status_code == 400
    assert field in response.json()["errors"]
    problem.refresh_from_db()
    assert problem.note == ""


def test_change_requires_scope_and_permission(service):
    problem = make_problem(service)
    reader, _other = make_user(permissions=["services.view_service"]), make_service()
    read_only = client_of(make_token(make_user(is_superuser=True), scopes=["run:read"])[1])

    assert patch(read_only, problem, state="resolved").status_code == 403
    assert patch(client_of(make_token(reader)[1]), problem, state="resolved").status_code == 403
    problem.refresh_from_db()
    assert problem.state == "open"


def test_token_of_one_service_sees_its_problems_only(service):
    make_problem(service, "Ours")
    hidden = make_problem(title="Theirs")
    limited = client_of(make_token(services=[service])[1])

    assert titles(limited.get(URL)) == ["Ours"]
    assert limited.get(f"{URL}{hidden.pk}/").status_code == 404
    assert patch(limited, hidden, state="resolved").status_code == 404
