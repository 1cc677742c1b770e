"""Pushing to an HTTP system: batches, rejected records, and idempotency keys."""

import json
from itertools import count

import pytest

from apps.services.connectors.base import ConnectorError
from tests.services.transfers import bytes_of, connection_to, make_context, push
from tests.services.web import Reply, reply_json, serving

RECORDS = [{"sku": number, "name": "Käse"} for number in range(5)]


def test_batch_size_one_sends_one_request_per_record():
    with serving(lambda request: reply_json({"ok": True}, 201)) as web:
        deliveries = push(
            connection_to(web.url), {"path": "/stock", "batch_size": 1}, [RECORDS[:2], RECORDS[2:3]]
        )

    assert [json.loads(request.body) for request in web.requests] == RECORDS[:3]
    assert [request.headers["idempotency-key"] for request in web.requests] == [
        "synclog-7-1-1",
        "synclog-7-1-2",
        "synclog-7-2-1",
    ]
    assert [(delivery.page, delivery.batch, delivery.accepted) for delivery in deliveries] == [
        (1, 1, 1),
        (1, 2, 1),
        (2, 1, 1),
    ]
    assert deliveries[0].outcome == f"POST {web.url}/stock: 201 Created"
    assert bytes_of(deliveries[0].request) == web.requests[0].body
    assert bytes_of(deliveries[0].response) == b'{"ok": true}'


def test_batches_are_sent_as_arrays():
    with serving(lambda request: Reply(204)) as web:
        deliveries = push(
            connection_to(web.url), {"batch_size": 2, "method": "PUT", "params": {"v": "1"}}, [RECORDS]
        )

    assert [len(json.loads(request.body)) for request in web.requests] == [2, 2, 1]
    assert {(request.method, request.query["v"]) for request in web.requests} == {("PUT", "1")}
    assert [delivery.accepted for delivery in deliveries] == [2, 2, 1]


@pytest.mark.parametrize("status", [400, 409, 410, 413, 415, 422])
def test_push_continues_after_rejected_batch(status):
    number = count(1)

    def respond(request):
        return reply_json({"detail": "no such SKU"}, status) if next(number) == 1 else reply_json({})

    with serving(respond) as web:
        deliveries = push(connection_to(web.url), {"batch_size": 3}, [RECORDS])

    assert [(delivery.accepted, delivery.refused) for delivery in deliveries] == [(0, 3), (2, 0)]
    assert deliveries[0].refusals == dict.fromkeys(range(3), '{"detail": "no such SKU"}')


@pytest.mark.parametrize(("charset", "reason"), [("iso-8859-1", "Größe?"), ("unknown", "Gr��e?")])
def test_reason_of_a_refusal_is_decoded_by_its_charset(charset, reason):
    reply = Reply(422, "Größe?".encode("latin-1"), {"Content-Type": f"text/plain; charset={charset}"})
    with serving(lambda request: reply) as web:
        [delivery] = push(connection_to(web.url), {}, [RECORDS[:1]])

    assert delivery.refusals == {0: reason}


@pytest.mark.parametrize("status", [304, 401, 403, 404, 405, 407, 501, 505])
def test_destination_error_ends_the_push_with_request_and_response(status):
    with (
        serving(lambda request: Reply(status, b"" if status == 304 else b"no")) as web,
        pytest.raises(ConnectorError, match=f"POST {web.url}: {status}") as caught,
    ):
        push(connection_to(web.url), {}, [RECORDS], make_context(max_attempts=3))

    assert len(web.requests) == 1
    assert bytes_of(caught.value.request) == web.requests[0].body
    assert bytes_of(caught.value.response) == (b"" if status == 304 else b"no")


def test_redirect_that_drops_the_body_is_rejected():
    with (
        serving(lambda request: Reply(302, b"", {"Location": "/elsewhere"})) as web,
        pytest.raises(ConnectorError, match="the body would be lost"),
    ):
        push(connection_to(web.url), {}, [RECORDS])

    assert len(web.requests) == 1


def test_redirect_308_resends_the_body():
    def respond(request):
        if request.path == "/old":
            return Reply(308, b"", {"Location": "/new"})
        return reply_json({})

    with serving(respond) as web:
        push(connection_to(web.url), {"path": "old"}, [RECORDS])

    assert [(request.method, request.path) for request in web.requests] == [
        ("POST", "/old"),
        ("POST", "/new"),
    ]
    assert json.loads(web.requests[1].body) == RECORDS


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1, 2}])
def test_record_without_json_form_is_reported(value):
    with pytest.raises(ConnectorError, match="cannot be written as JSON"):
        push(connection_to("http://127.0.0.1:9"), {}, [[{"id": value}]])


def test_lone_surrogate_is_sent_as_an_escape():
    with serving(lambda request: reply_json({})) as web:
        push(connection_to(web.url), {}, [["\ud800"]])

    assert web.requests[0].body == b'["\\ud800"]'


@pytest.mark.parametrize("status", [409, 404, 503])
def test_accepted_status_counts_as_accepted(status):
    with serving(lambda request: reply_json({"detail": "exists"}, status)) as web:
        deliveries = push(connection_to(web.url), {"accept_status": [409, 404, 503]}, [RECORDS])

    assert [(delivery.accepted, delivery.refused) for delivery in deliveries] == [(5, 0)]


@pytest.mark.parametrize(("batch_size", "count"), [(2, 2), (1, 1)])
def test_wrap_sends_the_list_in_an_object(batch_size, count):
    with serving(lambda request: reply_json({})) as web:
        push(connection_to(web.url), {"batch_size": batch_size, "wrap": "items"}, [RECORDS[:count]])

    assert json.loads(web.requests[0].body) == {"items": RECORDS[:count]}


def test_delete_without_fields_in_its_path_sends_the_records():
    with serving(lambda request: Reply(204)) as web:
        push(connection_to(web.url), {"method": "DELETE"}, [RECORDS])

    assert (web.requests[0].method, json.loads(web.requests[0].body)) == ("DELETE", RECORDS)
