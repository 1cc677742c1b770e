"""Pushing to an HTTP system: batches, refusals, and keys that make a repeat harmless."""

import json
from itertools import count

import pytest

from apps.services.connectors import ConnectorError
from tests.services.running import bytes_of, connection_to, facts_of, push
from tests.services.web import Reply, reply_json, serving

RECORDS = [{"sku": number, "name": "Käse"} for number in range(5)]


def test_each_record_is_a_body_of_its_own():
    with serving(lambda asked: reply_json({"ok": True}, 201)) as web:
        deliveries = push(
            connection_to(web.url), {"path": "/stock", "batch_size": 1}, [RECORDS[:2], RECORDS[2:3]]
        )

    assert [json.loads(asked.body) for asked in web.asked] == RECORDS[:3]
    assert [asked.headers["idempotency-key"] for asked in web.asked] == [
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
    assert bytes_of(deliveries[0].request) == web.asked[0].body
    assert bytes_of(deliveries[0].response) == b'{"ok": true}'


def test_batches_are_arrays():
    with serving(lambda asked: Reply(204)) as web:
        deliveries = push(
            connection_to(web.url), {"batch_size": 2, "method": "PUT", "params": {"v": "1"}}, [RECORDS]
        )

    assert [len(json.loads(asked.body)) for asked in web.asked] == [2, 2, 1]
    assert {(asked.method, asked.query["v"]) for asked in web.asked} == {("PUT", "1")}
    assert [delivery.accepted for delivery in deliveries] == [2, 2, 1]


@pytest.mark.parametrize("status", [400, 409, 410, 413, 415, 422])
def test_refused_batch_is_a_delivery_and_the_next_goes_on(status):
    number = count(1)

    def answer(asked):
        return reply_json({"detail": "no such SKU"}, status) if next(number) == 1 else reply_json({})

    with serving(answer) as web:
        deliveries = push(connection_to(web.url), {"batch_size": 3}, [RECORDS])

    assert [(delivery.accepted, delivery.refused) for delivery in deliveries] == [(0, 3), (2, 0)]
    assert deliveries[0].refusal == '{"detail": "no such SKU"}'


@pytest.mark.parametrize("status", [304, 401, 403, 404, 405, 407, 500, 501])
def test_fault_of_the_destination_ends_the_push_with_the_evidence(status):
    with (
        serving(lambda asked: Reply(status, b"" if status == 304 else b"no")) as web,
        pytest.raises(ConnectorError, match=f"POST {web.url}: {status}") as caught,
    ):
        push(connection_to(web.url), {}, [RECORDS], facts_of(max_attempts=3))

    assert len(web.asked) == 1
    assert bytes_of(caught.value.request) == web.asked[0].body
    assert bytes_of(caught.value.response) == (b"" if status == 304 else b"no")


@pytest.mark.parametrize("status", [408, 425, 429, 502, 503, 504])
def test_what_may_pass_is_tried_again_under_the_same_key(status):
    number = count(1)

    def answer(asked):
        return reply_json({}, status, Retry_After="0") if next(number) < 3 else reply_json({})

    with serving(answer) as web:
        deliveries = push(connection_to(web.url), {}, [RECORDS], facts_of(max_attempts=3))

    assert [asked.headers["idempotency-key"] for asked in web.asked] == ["synclog-7-1-1"] * 3
    assert [delivery.accepted for delivery in deliveries] == [5]


def test_redirect_that_would_lose_the_records_is_refused():
    with (
        serving(lambda asked: Reply(302, b"", {"Location": "/elsewhere"})) as web,
        pytest.raises(ConnectorError, match="the records would be lost"),
    ):
        push(connection_to(web.url), {}, [RECORDS])

    assert len(web.asked) == 1


def test_faithful_redirect_carries_the_records():
    def answer(asked):
        if asked.path == "/old":
            return Reply(308, b"", {"Location": "/new"})
        return reply_json({})

    with serving(answer) as web:
        push(connection_to(web.url), {"path": "old"}, [RECORDS])

    assert [(asked.method, asked.path) for asked in web.asked] == [("POST", "/old"), ("POST", "/new")]
    assert json.loads(web.asked[1].body) == RECORDS


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1, 2}])
def test_record_that_json_cannot_say_is_told(value):
    with pytest.raises(ConnectorError, match="cannot be written as JSON"):
        push(connection_to("http://127.0.0.1:9"), {}, [[{"id": value}]])


def test_lone_surrogate_is_sent_as_an_escape():
    with serving(lambda asked: reply_json({})) as web:
        push(connection_to(web.url), {}, [["\ud800"]])

    assert web.asked[0].body == b'["\\ud800"]'
