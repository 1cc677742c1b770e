"""Requests of HTTP sources: POST with a body, placeholders, errors with status 200, retried statuses."""

import json
from itertools import count

import pytest
from django.core.exceptions import ValidationError

from apps.services.connectors.base import ConnectorError
from apps.services.connectors.endpoints import open_source
from apps.services.definition.options import read_source
from apps.services.models import Service
from tests.services.transfers import bytes_of, connection_to, make_context, pull
from tests.services.web import Reply, Request, reply_json, serving

QUERY = """query Orders($first: Int, $after: String) {
  orders(first: $first, after: $after) { nodes { id } pageInfo { endCursor hasNextPage } }
}"""
GRAPHQL = {
    "path": "/graphql",
    "method": "POST",
    "body": {"query": QUERY, "variables": {"first": "{size}", "after": "{cursor}"}},
    "records": "data.orders.nodes",
    "page_size": 2,
    "pagination": {
        "type": "cursor",
        "cursor": "data.orders.pageInfo.endCursor",
        "has_more": "data.orders.pageInfo.hasNextPage",
    },
    "fail_if": "errors",
}


def bodies_of(web):
    return [json.loads(request.body) for request in web.requests]


def test_graphql_pages_with_the_cursor_in_the_body():
    def respond(request: Request) -> Reply:
        variables = json.loads(request.body)["variables"]
        start = int(variables["after"] or 0)
        nodes = [{"id": number} for number in range(start, min(start + variables["first"], 5))]
        info = {"endCursor": str(start + len(nodes)), "hasNextPage": start + len(nodes) < 5}
        return reply_json({"data": {"orders": {"nodes": nodes, "pageInfo": info}}})

    with serving(respond) as web:
        pages = pull(connection_to(web.url), GRAPHQL)

    assert [record["id"] for page in pages for record in page.records] == [0, 1, 2, 3, 4]
    assert [body["variables"] for body in bodies_of(web)] == [
        {"first": 2, "after": None},
        {"first": 2, "after": "2"},
        {"first": 2, "after": "4"},
    ]
    assert {body["query"] for body in bodies_of(web)} == {QUERY}
    assert {(request.method, request.headers["content-type"]) for request in web.requests} == {
        ("POST", "application/json")
    }
    # The cursor stands in the body only.
    assert [request.query for request in web.requests] == [{}, {}, {}]


def test_errors_with_status_200_fail_the_pull():
    errors = {"data": None, "errors": [{"message": "Cannot query field"}]}
    with (
        serving(lambda request: reply_json(errors)) as web,
        pytest.raises(
            ConnectorError, match=r"200 OK, but .*“errors” \(fail_if\).*Cannot query field"
        ) as caught,
    ):
        pull(connection_to(web.url), GRAPHQL, make_context(max_attempts=3))

    assert len(web.requests) == 1
    assert json.loads(bytes_of(caught.value.response)) == errors
    assert json.loads(bytes_of(caught.value.request))["query"] == QUERY


@pytest.mark.parametrize("response", [{"success": True, "items": [1]}, {"items": [1]}])
def test_fail_if_that_is_false_passes(response):
    options = {"records": "items", "fail_if": "success == `false`"}
    with serving(lambda request: reply_json(response)) as web:
        assert [page.records for page in pull(connection_to(web.url), options)] == [[1]]


def test_fail_if_that_compares_text_with_a_number_is_an_error():
    with (
        serving(lambda request: reply_json({"code": "0", "items": [1]})) as web,
        pytest.raises(ConnectorError, match=r"\(fail_if\) fails on the response: .*convert one by to_number"),
    ):
        pull(connection_to(web.url), {"records": "items", "fail_if": "code > `0`"})


def test_success_false_with_status_200_is_an_error():
    options = {"records": "items || `[]`", "fail_if": "success == `false`"}
    with (
        serving(lambda request: reply_json({"success": False, "reason": "quota"})) as web,
        pytest.raises(ConnectorError, match="quota"),
    ):
        pull(connection_to(web.url), options)


def test_single_object_is_the_only_record():
    with serving(lambda request: reply_json({"id": 7, "rate": 1.5})) as web:
        pages = pull(connection_to(web.url), {"records": "[@]"})

    assert [page.records for page in pages] == [[{"id": 7, "rate": 1.5}]]


@pytest.mark.parametrize("pagination", [{"type": "page", "first": 0}, {"type": "offset"}])
def test_page_and_offset_in_body(pagination):
    name = pagination["type"]

    def respond(request: Request) -> Reply:
        position = json.loads(request.body)["at"]
        return reply_json([{"id": position}] if position < 2 else [])

    body = {"at": f"{{{name}}}", "run": "{run}", "text": f"run {{run}}, at {{{name}}}", "list": ["{size}"]}
    with serving(respond) as web:
        pages = pull(
            connection_to(web.url),
            {"method": "POST", "body": body, "page_size": 1, "pagination": pagination},
            make_context(run_id=7),
        )

    assert [record["id"] for page in pages for record in page.records] == [0, 1]
    assert bodies_of(web)[1] == {"at": 1, "run": 7, "text": "run 7, at 1", "list": [1]}
    assert web.requests[1].query == {}


def test_placeholder_without_value_is_null_in_the_body():
    body = {"after": "{cursor}", "filter": "id > {cursor}", "plain": "{ cursor }", "json": '{"a": 1}'}
    with serving(lambda request: reply_json([])) as web:
        pull(connection_to(web.url), {"method": "POST", "body": body})

    assert bodies_of(web) == [{"after": None, "filter": None, "plain": "{ cursor }", "json": '{"a": 1}'}]


def test_value_of_a_placeholder_is_not_replaced_again():
    def respond(request: Request) -> Reply:
        return reply_json({"rows": [1], "next": None if "7" in request.query.get("a", "") else "{run}"})

    options = {
        "records": "rows",
        "params": {"a": "{cursor}-{run}"},
        "pagination": {"type": "cursor", "cursor": "next"},
    }
    with serving(respond) as web:
        pull(connection_to(web.url), options, make_context(run_id=7))

    assert [request.query for request in web.requests] == [{}, {"a": "{run}-7"}]


def test_cursor_that_is_a_number_keeps_its_digits_in_the_body():
    number = "12345678901234567890.10"

    def respond(request: Request) -> Reply:
        is_last = number.encode() in request.body
        following = "null" if is_last else number
        return Reply(200, f'{{"rows": [{int(is_last)}], "next": {following}}}'.encode())

    options = {
        "method": "POST",
        "body": {"after": "{cursor}"},
        "records": "rows",
        "pagination": {"type": "cursor", "cursor": "next"},
    }
    with serving(respond) as web:
        pull(connection_to(web.url), options)

    assert [request.body for request in web.requests] == [
        b'{"after": null}',
        f'{{"after": {number}}}'.encode(),
    ]


def test_body_is_not_sent_to_another_system():
    with serving(lambda request: reply_json({"rows": []})) as other:
        response = {"rows": [1], "next": other.url}
        with (
            serving(lambda request: reply_json(response)) as web,
            pytest.raises(ConnectorError, match="on another system"),
        ):
            pull(
                connection_to(web.url),
                {
                    "method": "POST",
                    "body": {"key": "s3cret"},
                    "records": "rows",
                    "pagination": {"type": "next_url", "next_url": "next"},
                },
            )

    assert other.requests == []


@pytest.mark.parametrize("status", [409, 418])
def test_retry_status_is_retried(status):
    attempts = count(1)

    def respond(request: Request) -> Reply:
        return reply_json({}, status) if next(attempts) == 1 else reply_json([1])

    with serving(respond) as web:
        pages = pull(connection_to(web.url), {"retry_status": [409, 418]}, make_context(max_attempts=2))

    assert [page.records for page in pages] == [[1]]


def test_retry_status_is_retried_in_the_pull_of_one_record():
    attempts = count(1)

    def respond(request):
        return reply_json({}, 409) if next(attempts) == 1 else reply_json({"id": 7})

    with serving(respond) as web:
        options = {"record_path": "/orders/{key}", "retry_status": [409]}
        service = Service(slug="tested", source_connection=connection_to(web.url), source_options=options)
        with open_source(service, make_context(max_attempts=2), {"7"}) as source:
            pages = list(source.pages())

    assert [page.records for page in pages] == [[{"id": 7}]]


@pytest.mark.parametrize(
    ("options", "key", "message"),
    [
        ({"body": {}, "method": "GET"}, "body", "Only POST requests have a body"),
        ({"body": "text", "method": "POST"}, "body", "Write an object or a list."),
        ({"body": {"a": {"b": ["{x}"]}}, "method": "POST"}, "body.a.b.0", "Unknown placeholder “{x}”"),
        ({"body": {"a": float("nan")}, "method": "POST"}, "body.a", "Write text, a number"),
        ({"body": {"a": "\x00"}, "method": "POST"}, "body.a", "Invalid characters"),
        (
            {"path": "/{page}"},
            "pagination.type",
            "“{page}” in the path has no value with this pagination; choose page",
        ),
        ({"path": "/{offset}", "pagination": {"type": "page"}}, "pagination.type", "choose offset"),
        ({"path": "/{cursor}", "pagination": {"type": "link"}}, "pagination.type", "choose cursor"),
        ({"method": "PUT"}, "method", "Allowed: GET, POST."),
        ({"fail_if": "a ["}, "fail_if", "is not a JMESPath expression"),
        ({"retry_status": "x"}, "retry_status", "write HTTP statuses"),
    ],
)
def test_invalid_request_option_is_reported_at_its_key(options, key, message):
    with pytest.raises(ValidationError) as caught:
        read_source("http", options)

    assert list(caught.value.message_dict) == [key]
    assert message in caught.value.message_dict[key][0]
