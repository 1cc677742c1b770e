"""Paths of a destination that contain fields of the record."""

import json

import pytest

from apps.services.connectors.base import ConnectorError
from apps.services.exact_json import ExactNumber
from tests.services.transfers import connection_to, push
from tests.services.web import Reply, reply_json, serving


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_each_record_has_its_own_path(method):
    records = [{"id": 7, "shop": "a/b c"}, {"id": ExactNumber("19.90"), "shop": "ä?&#%2F..x{id}"}]

    with serving(lambda request: reply_json({})) as web:
        deliveries = push(
            connection_to(web.url),
            {"method": method, "path": "/shops/{shop}/items/{id}?v={id}", "params": {"dry": "1"}},
            [records],
        )

    assert [(request.method, request.path, request.query) for request in web.requests] == [
        (method, "/shops/a%2Fb%20c/items/7", {"v": "7", "dry": "1"}),
        (method, "/shops/%C3%A4%3F%26%23%252F..x%7Bid%7D/items/19.90", {"v": "19.90", "dry": "1"}),
    ]
    assert json.loads(web.requests[0].body) == records[0]
    assert [(delivery.accepted, delivery.refused) for delivery in deliveries] == [(1, 0)] * 2
    assert deliveries[0].outcome == f"{method} {web.url}/shops/a%2Fb%20c/items/7?v=7&dry=1: 200 OK"


def test_delete_with_fields_in_its_path_sends_no_body():
    with serving(lambda request: Reply(204)) as web:
        [delivery] = push(connection_to(web.url), {"method": "DELETE", "path": "/items/{id}"}, [[{"id": 7}]])

    [request] = web.requests
    assert (request.method, request.path, request.body) == ("DELETE", "/items/7", b"")
    assert "content-type" not in request.headers
    assert (delivery.accepted, delivery.request) == (1, None)


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({}, "is missing in the record"),
        ("text", "is missing in the record"),
        ({"id": None}, "is null"),
        ({"id": True}, "is true or false"),
        ({"id": [1]}, "is a list"),
        ({"id": {"a": 1}}, "is an object"),
        ({"id": ""}, "is empty"),
        ({"id": " "}, "is empty"),
        ({"id": "../admin"}, "is “../admin”, which would lead to another path"),
        ({"id": ".."}, "is “..”, which would lead to another path"),
        ({"id": "."}, "is “.”, which would lead to another path"),
        ({"id": "..\\x"}, "is “..\\x”, which would lead to another path"),
        ({"id": "\ud800"}, "contains half of a surrogate pair"),
    ],
)
def test_record_without_a_path_is_refused_and_not_sent(record, reason):
    with serving(lambda request: reply_json({})) as web:
        deliveries = push(connection_to(web.url), {"path": "/items/{id}"}, [[record, {"id": 8}]])

    assert [request.path for request in web.requests] == ["/items/8"]
    assert [(delivery.accepted, delivery.refused) for delivery in deliveries] == [(0, 1), (1, 0)]
    assert f"The field “id” of the path {reason}" in deliveries[0].refusals[0]
    assert deliveries[0].outcome == f"POST {web.url}/items/{{id}}: not sent"


def test_404_refuses_the_record_of_the_path():
    with serving(lambda request: reply_json({}, 404 if request.path == "/items/7" else 200)) as web:
        deliveries = push(connection_to(web.url), {"path": "/items/{id}"}, [[{"id": 7}, {"id": 8}]])

    assert [delivery.refused for delivery in deliveries] == [1, 0]


@pytest.mark.parametrize("status", [401, 403, 405, 500])
def test_error_of_the_destination_ends_the_push(status):
    with serving(lambda request: reply_json({}, status)) as web, pytest.raises(ConnectorError):
        push(connection_to(web.url), {"path": "/items/{id}"}, [[{"id": 7}, {"id": 8}]])

    assert len(web.requests) == 1
