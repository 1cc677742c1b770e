"""Refused records of a batch: their outcomes, and the line in the log."""

import json
import logging

import pytest

from apps.runs.execution.executor import execute_run
from apps.runs.execution.queue import queue_run
from apps.runs.models import AcceptedContent, LogEntry, Record, Run
from tests.factories import make_connection, make_service
from tests.services.web import reply_json, serving

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("own_folders")]


def execute(respond, count, **destination):
    """Pushes the records 1 to `count`."""

    def serve(request):
        if request.method == "GET":
            return reply_json([{"id": number} for number in range(1, count + 1)])
        return respond(request)

    with serving(serve) as web:
        connection = make_connection(url=web.url)
        service = make_service(
            source_connection=connection,
            source_options={},
            destination_connection=connection,
            destination_options=destination,
        )
        return execute_run(queue_run(service, trigger=Run.Trigger.MANUAL).pk, worker="test")


def outcomes(run):
    return {
        record.key: (Record.Outcome(record.outcome).slug, record.message)
        for record in Record.objects.filter(run=run)
    }


def test_refused_records_of_a_bulk_response_have_their_own_reasons():
    def respond(request):
        errors = {2: "unknown sku", 4: "no price", 5: "unknown sku"}
        items = [
            {"status": 422 if record["id"] in errors else 201, "error": {"message": errors.get(record["id"])}}
            for record in json.loads(request.body)["items"]
        ]
        return reply_json({"items": items}, 207)

    run = execute(
        respond,
        5,
        wrap="items",
        skip_unchanged=True,
        results={"path": "items", "accepted_if": "status < `300`", "reason": "error.message"},
    )

    assert outcomes(run) == {
        "1": ("pushed", ""),
        "2": ("refused", "unknown sku"),
        "3": ("pushed", ""),
        "4": ("refused", "no price"),
        "5": ("refused", "unknown sku"),
    }
    assert (run.status, run.pushed_count, run.refused_count) == ("succeeded", 2, 3)
    assert set(AcceptedContent.objects.values_list("key", flat=True)) == {"1", "3"}
    [line] = LogEntry.objects.filter(run_id=run.pk, level=logging.ERROR)
    assert line.message.endswith(
        ": 207 Multi-Status, 2 records accepted, 3 records refused: unknown sku (2, 5); no price (4)"
    )


def test_line_lists_a_limited_number_of_refused_records():
    def respond(request):
        reasons = [f"error {record['id'] // 3}" for record in json.loads(request.body)]
        return reply_json([{"reason": reason} for reason in reasons])

    run = execute(respond, 90, results={"accepted_if": "ok", "reason": "reason"})

    [line] = LogEntry.objects.filter(run_id=run.pk, level=logging.ERROR)
    assert "90 records refused: error 0 (1, 2); error 1 (3, 4, 5); " in line.message
    assert line.message.endswith("; error 19 (57, 58, 59); and 11 more reasons")


def test_results_of_another_length_leave_the_outcome_of_the_batch_unknown():
    run = execute(lambda request: reply_json([{"ok": True}]), 2, results={"accepted_if": "ok"})

    assert (run.status, run.pushed_count, run.refused_count) == ("failed", 0, 0)
    assert "the list at “@” has the length 1, the batch 2" in run.error
    assert {outcome for outcome, _message in outcomes(run).values()} == {"pulled"}


def test_record_without_a_path_does_not_stop_the_run():
    run = execute(lambda request: reply_json({}), 3, path="/items/{id}/{shop}", method="PUT")

    assert run.status == "succeeded"
    assert {outcome for outcome, _message in outcomes(run).values()} == {"refused"}
