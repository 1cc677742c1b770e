"""Errors in messages name the cause and contain no data of customers."""

import pytest

from apps.alerts.incidents.error_text import without_data


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        (
            'POST https://crm.example/people: 422 Unprocessable Entity: {"email": "jane@example.com"}',
            "POST https://crm.example/people: 422 Unprocessable Entity",
        ),
        (
            "GET http://127.0.0.1:3000/orders: 500 Server Error: Jane Doe",
            "GET http://127.0.0.1:3000/orders: 500 Server Error",
        ),
        ("PUT https://crm.example/people/4711?mail=jane: 503 Busy", "PUT https://crm.example/people/…?…: 503 Busy"),
        ("The response is not JSON. It begins: <p>Jane", "The response is not JSON. It begins"),
        ('Unexpected record {"name": "Jane"}', "Unexpected record …"),
        ("KeyError: 'vat' (line 4)", "KeyError: 'vat' (line 4)"),
        ("transform: unknown customer “Jane Doe”", "transform: unknown customer “…”"),
        ("Environment variable SHOP_TOKEN is not set", "Environment variable SHOP_TOKEN is not set"),
        ("Order 10045 of jane@example.com has no address", "Order … of … has no address"),
        ("Article A-17 is unknown", "Article … is unknown"),
        ("101 records were refused; at most 100 may be", "101 records were refused; at most 100 may be"),
        ("The script failed\nTraceback: Jane", "The script failed"),
    ],
)  # fmt: skip
def test_data_is_left_out(error, shown):
    assert without_data(error) == shown


def test_record_keys_are_shown_if_they_may_be():
    assert without_data("Order 10045 of “Jane”", with_record_keys=True) == "Order 10045 of “…”"


def test_text_is_short():
    assert len(without_data("word " * 10_000)) == 300
