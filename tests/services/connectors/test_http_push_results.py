"""Results of single records in the response to a batch."""

import pytest

from apps.services.connectors.base import ConnectorError
from tests.services.transfers import bytes_of, connection_to, make_context, push
from tests.services.web import Reply, reply_json, serving

RECORDS = [{"id": number} for number in range(1, 4)]
OPTIONS = {"results": {"path": "items", "accepted_if": "status < `300`", "reason": "error.message"}}


def pushed(body, status=200, options=OPTIONS, context=None):
    with serving(lambda request: body if isinstance(body, Reply) else reply_json(body, status)) as web:
        return push(connection_to(web.url), options, [RECORDS], context)


@pytest.mark.parametrize("status", [200, 207])
def test_errors_inside_a_response_are_refused_records(status):
    [delivery] = pushed(
        {
            "items": [
                {"status": 201},
                {"status": 422, "error": {"message": "unknown sku"}},
                {"status": 409, "error": {"message": {"code": 7, "price": 19.5}}},
            ]
        },
        status,
    )

    assert (delivery.accepted, delivery.refused) == (1, 2)
    assert delivery.refusals == {1: "unknown sku", 2: '{"code": 7, "price": 19.5}'}
    assert delivery.accepted_records == [{"id": 1}]
    assert delivery.refused_by_reason() == {
        "unknown sku": [{"id": 2}],
        '{"code": 7, "price": 19.5}': [{"id": 3}],
    }


def test_result_is_the_reason_if_there_is_no_other():
    options = {"results": {"accepted_if": "ok"}}

    [delivery] = pushed([{"ok": True}, {"ok": 0}, {"ok": None, "why": "x" * 1000}], options=options)

    assert delivery.refusals.keys() == {2}
    assert delivery.refusals[2].startswith('{"ok": null, "why": "xxx')
    assert len(delivery.refusals[2]) < 320


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"items": [{"status": 201}] * 2}, "the list at “items” has the length 2, the batch 3"),
        ({"items": [{"status": 201}] * 4}, "the list at “items” has the length 4, the batch 3"),
        ({"items": []}, "the list at “items” has the length 0, the batch 3"),
        ({"data": []}, "the response has no list at “items”"),
        (Reply(200, b"<html>"), "the response is not JSON (Expecting value"),
        (Reply(204), "the response is empty"),
    ],
)
def test_unclear_results_end_the_push(body, reason):
    context = make_context()

    with pytest.raises(ConnectorError, match="it is unknown which records were accepted") as caught:
        pushed(body, context=context)

    assert reason in str(caught.value)
    assert "Check “results” of the destination" in str(caught.value)
    assert caught.value.may_have_arrived
    assert list(context.in_flight) == RECORDS
    assert bytes_of(caught.value.request) == b'[{"id": 1}, {"id": 2}, {"id": 3}]'


def test_status_207_without_results_is_one_warning(caplog):
    with serving(lambda request: reply_json([{"status": 422}], 207)) as web:
        deliveries = push(connection_to(web.url), {}, [RECORDS, RECORDS])

    assert [delivery.accepted for delivery in deliveries] == [3, 3]
    [warning] = [line.getMessage() for line in caplog.records if line.levelname == "WARNING"]
    assert "207 Multi-Status, but refused records are not recognized" in warning
    assert '[{"status": 422}]' in warning


def test_refused_batch_needs_no_results():
    [delivery] = pushed({"detail": "no"}, 422)

    assert delivery.refusals == dict.fromkeys(range(3), '{"detail": "no"}')


@pytest.mark.parametrize(
    ("status", "accepted_if", "reason"),
    [
        (200, "length(status) == `3`", "invalid type"),
        ("200", "status < `300`", "convert one by to_number"),
        ("200", "contains(status, `200`)", "convert one by to_number"),
        ("1e999", "ceil(to_number(status))", "infinity"),
    ],
)
def test_expression_that_fails_on_a_result_ends_the_push(status, accepted_if, reason):
    options = {"results": {"accepted_if": accepted_if}}

    with pytest.raises(ConnectorError, match=f"{reason}.*Check “results”"):
        pushed([{"status": status}] * 3, options=options)
