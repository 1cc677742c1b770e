"""OpenAPI description: valid, public, and equal to the responses."""

import json
from io import StringIO

import pytest
from django.core.management import call_command
from django.test import Client

from apps.audit.models import Action
from apps.runs.models import Run
from tests.factories import make_log_entries, make_payload, make_run


@pytest.fixture(scope="module")
def schema():
    stream = StringIO()
    call_command("spectacular", "--format", "openapi-json", stdout=stream)
    return json.loads(stream.getvalue())


def test_schema_is_valid_and_without_warnings(tmp_path):
    call_command("spectacular", "--validate", "--fail-on-warn", "--file", str(tmp_path / "schema.yaml"))


def test_schema_is_public():
    response = Client().get("/api/schema/?format=json")

    assert response.status_code == 200
    assert response.json()["openapi"] == "3.1.0"


def test_schema_has_every_route_with_its_authentication(schema):
    assert sorted(schema["paths"]) == [
        "/api/v1/alerts/deliveries/",
        "/api/v1/alerts/incidents/",
        "/api/v1/alerts/incidents/{id}/",
        "/api/v1/audit/",
        "/api/v1/metrics/",
        "/api/v1/payloads/",
        "/api/v1/payloads/{id}/",
        "/api/v1/payloads/{id}/download/",
        "/api/v1/problems/",
        "/api/v1/problems/{id}/",
        "/api/v1/records/",
        "/api/v1/runs/",
        "/api/v1/runs/{id}/",
        "/api/v1/runs/{id}/cancel/",
        "/api/v1/runs/{id}/finish/",
        "/api/v1/runs/{id}/log.ndjson",
        "/api/v1/runs/{id}/log.txt",
        "/api/v1/runs/{id}/log/",
        "/api/v1/runs/{id}/payloads/{kind}/{name}",
        "/api/v1/runs/{id}/records/",
        "/api/v1/runs/{id}/resync/",
        "/api/v1/services/",
        "/api/v1/services/{slug}/",
        "/api/v1/services/{slug}/runs/",
    ]
    operations = [operation for path in schema["paths"].values() for operation in path.values()]
    assert all(operation["security"] == [{"bearer": []}] for operation in operations)
    assert all(
        "application/problem+json" in operation["responses"]["401"]["content"] for operation in operations
    )


def test_schema_has_named_enumerations(schema):
    enumerations = {
        name: part["enum"] for name, part in schema["components"]["schemas"].items() if "enum" in part
    }

    assert enumerations == {
        "LogLevel": ["debug", "info", "warning", "error"],
        "LogStep": ["start", "pull", "script", "push", "finish"],
        "PayloadKind": ["pull", "script", "push"],
        "ReportedStatus": ["succeeded", "failed", "cancelled"],
        "ServiceKind": ["integration", "reported"],
        "PayloadStatus": ["stored", "expired", "deleted", "lost"],
        "RecordOutcome": ["refused", "failed", "pushed", "dropped", "skipped", "pulled"],
        "IncidentKind": [
            *("failed", "late", "lost", "no_success", "refused", "problem", "incomplete", "paused"),
            *("expiry_lag", "doctor"),
        ],
        "IncidentState": ["open", "closed"],
        "AuditAction": Action.values,
        "DeliveryStatus": ["pending", "sent", "failed", "suppressed"],
        "ProblemState": ["open", "muted", "resolved"],
        "ResyncOrigin": ["stored", "source"],
        "RunStatus": ["queued", "running", "succeeded", "failed", "cancelled", "lost"],
        "RunTrigger": ["manual", "schedule", "api", "retry"],
    }


@pytest.mark.django_db
def test_schema_has_the_fields_of_the_responses(client, schema):
    run = make_run(status=Run.Status.RUNNING, store_pull=True)
    make_log_entries(run, 1)
    payload = make_payload(run, sequence=1)
    log = client.get(f"/api/v1/runs/{run.pk}/log/").json()
    responses = {
        "Service": client.get(f"/api/v1/services/{run.service.slug}/").json(),
        "Run": client.get(f"/api/v1/runs/{run.pk}/").json(),
        "Payload": client.get(f"/api/v1/payloads/{payload.pk}/").json(),
        "LogPage": log,
        "Line": log["lines"][0],
        "LinePayload": log["lines"][0]["payloads"][0],
        "PaginatedRunList": client.get("/api/v1/runs/").json(),
    }

    described = {name: set(schema["components"]["schemas"][name]["properties"]) for name in responses}

    assert described == {name: set(document) for name, document in responses.items()}
