"""Requests of a reporter."""

import json

from apps.runs.models import LogEntry

NDJSON = "application/x-ndjson"


def open_run(client, body=None, **headers):
    return client.post(
        "/api/v1/services/nightly/runs/", body or {}, content_type="application/json", headers=headers
    )


def line(sequence, message="", **fields):
    return {"sequence": sequence, "message": message or f"Line {sequence}"} | fields


def post_lines(client, run, lines, *, content_type=NDJSON):
    body = (
        "".join(json.dumps(item) + "\n" for item in lines)
        if content_type == NDJSON
        else json.dumps({"lines": lines})
    )
    return client.post(f"/api/v1/runs/{run.pk}/log/", body or "\n", content_type=content_type)


def put_file(client, run, name="page-1.json", body=b'[{"id": 1}]', *, kind="pull", **headers):
    return client.put(
        f"/api/v1/runs/{run.pk}/payloads/{kind}/{name}",
        body,
        content_type="application/json",
        headers=headers,
    )


def finish(client, run, **body):
    return client.post(
        f"/api/v1/runs/{run.pk}/finish/", {"status": "succeeded"} | body, content_type="application/json"
    )


def stored_lines(run):
    return list(
        LogEntry.objects.filter(run_id=run.pk).order_by("sequence").values_list("sequence", "message")
    )
