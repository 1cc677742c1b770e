"""Search for runs of all services by number or by words of the service's name."""

import re

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from tests.factories import make_run, make_service, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def staff(client: Client) -> Client:
    client.force_login(make_user("ada", is_superuser=True))
    return client


def found(client: Client, text: str) -> list[int]:
    page = client.get("/admin/runs/run/", {"q": text, "period": "any"}).content.decode()
    return [int(number) for number in re.findall(r'class="row-name" href="[^"]*">(\d+)<', page)]


def test_search_finds_runs_by_number_and_service_name(staff: Client) -> None:
    orders = make_run(make_service(name="Orders to warehouse", slug="orders"))
    prices = make_run(make_service(name="Prices to shop", slug="prices"))

    assert found(staff, str(orders.pk)) == [orders.pk]
    assert found(staff, f" #{prices.pk} ") == [prices.pk]
    assert found(staff, "WAREHOUSE orders") == [orders.pk]
    assert found(staff, "price") == [prices.pk]
    assert found(staff, " to ") == [prices.pk, orders.pk]
    assert found(staff, " ") == [prices.pk, orders.pk]
    assert found(staff, "orders shop") == []
    assert found(staff, "9" * 40) == []


def test_search_does_not_find_runs_of_hidden_services(client: Client) -> None:
    client.force_login(make_user(permissions=["runs.view_run"]))
    make_run(make_service(name="Orders"))

    assert found(client, "orders") == []


@pytest.mark.parametrize("count", [1, 3])
def test_run_search_takes_a_constant_query_count(
    staff: Client, count: int, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    service = make_service(name="Orders")
    for _number in range(count):
        make_run(service)

    # Session, user, the services of that name, their runs counted and listed.
    with django_assert_num_queries(5):
        assert len(found(staff, "orders")) == count
