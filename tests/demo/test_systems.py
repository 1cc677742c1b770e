"""Source and destination of the demo services."""

import pytest
import requests

from apps.demo import systems


@pytest.fixture
def addresses():
    with systems.demo_systems() as addresses:
        yield addresses


def test_source_returns_250_orders_in_three_pages(addresses):
    source, _destination = addresses

    pages = [requests.get(f"{source}/orders?page={page}&size=100", timeout=5).json() for page in (1, 2, 3, 4)]

    assert [len(page["orders"]) for page in pages] == [100, 100, 50, 0]
    assert [order["id"] for page in pages for order in page["orders"] if not order["email"]] == [10045]


def test_source_is_unavailable_once_and_then_returns_readings(addresses, monkeypatch):
    monkeypatch.setattr(systems, "READINGS_PAUSE", 0)
    source, _destination = addresses

    busy, response = [requests.get(f"{source}/readings?after=220&limit=20", timeout=5) for _attempt in (1, 2)]

    assert (busy.status_code, busy.headers["Retry-After"]) == (503, "1")
    assert len(response.json()["readings"]) == 20
    assert response.json()["next"] == "240"


def test_source_has_one_invoice_without_vat_on_its_second_page(addresses):
    source, _destination = addresses

    invoices = requests.get(f"{source}/invoices?offset=40&limit=40", timeout=5).json()["invoices"]

    assert [invoice["number"] for invoice in invoices if "vat" not in invoice] == ["R-7057"]


def test_refused_mail_is_accepted_once_the_order_is_pulled_again(addresses):
    source, destination = addresses

    def send():
        order = requests.get(f"{source}/confirmations/10045", timeout=5).json()
        return requests.post(f"{destination}/mails", json=order, timeout=5).status_code

    assert [send(), send()] == [422, 201]


@pytest.mark.parametrize(
    ("path", "status"), [("/orders?page=x", 400), ("/confirmations/1", 404), ("/nothing", 404)]
)
def test_source_rejects_invalid_requests(addresses, path, status):
    assert requests.get(f"{addresses[0]}{path}", timeout=5).status_code == status


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/shipments", '[{"order": 1}]', 201),
        ("/shipments", '["order"]', 422),
        ("/shipments", "order", 400),
        ("/nothing", "[]", 404),
    ],
)
def test_destination_accepts_only_lists_of_objects(addresses, path, body, status):
    assert requests.post(f"{addresses[1]}{path}", data=body, timeout=5).status_code == status
