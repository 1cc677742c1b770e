"""Errors below /api/ are problem documents without internal details."""

import json
import uuid

import pytest
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import OperationalError
from django.test import Client
from rest_framework.exceptions import NotFound, Throttled
from rest_framework.exceptions import ValidationError as ApiValidationError

from apps.api.http.error_handlers import server_error
from apps.api.http.problems import handle_exception
from tests.factories import make_run


def json_of(response):
    return json.loads(response.content)


@pytest.mark.parametrize(
    "path",
    [
        "/api/",
        "/api/v2/",
        "/api/v1/",
        "/api/v1/runs",
        "/api/v1/nothing/",
        "/api/v1/payloads/abc/",
        "/api/x.php",
    ],
)
@pytest.mark.parametrize("method", ["get", "post", "put", "delete"])
def test_unknown_route_is_404(path, method):
    response = getattr(Client(enforce_csrf_checks=True), method)(path)

    assert response.status_code == 404
    assert response["Content-Type"] == "application/problem+json"
    assert response.json()["type"] == "about:blank"
    assert response.json()["title"] == "Not Found"
    assert response.json()["status"] == 404


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("post", "/api/v1/services/", "GET"),
        ("delete", "/api/v1/services/orders/", "GET"),
        ("get", "/api/v1/services/orders/runs/", "POST"),
        ("put", "/api/v1/runs/1/", "GET"),
        ("get", "/api/v1/runs/1/cancel/", "POST"),
        ("options", "/api/v1/runs/", "GET"),
        ("options", "/api/v1/runs/1/log/", "GET, HEAD, POST"),
        ("delete", "/api/v1/runs/1/log.txt", "GET"),
        ("put", f"/api/v1/payloads/{uuid.UUID(int=1)}/download/", "GET"),
    ],
)
def test_unsupported_method_is_405(client, method, path, allowed):
    response = getattr(client, method)(path)

    assert response.status_code == 405
    assert response["Content-Type"] == "application/problem+json"
    assert response["Allow"] == ("GET, HEAD" if allowed == "GET" else allowed)


@pytest.mark.parametrize(
    ("path", "content_type"),
    [("/api/v1/runs/", "application/problem+json"), ("/admin/", "text/html; charset=utf-8")],
)
def test_unknown_host_is_a_problem_below_api_and_a_page_elsewhere(path, content_type):
    response = Client().get(path, headers={"Host": "evil.example"})

    assert (response.status_code, response["Content-Type"]) == (400, content_type)


def test_error_outside_the_views_is_a_problem_document(rf):
    response = server_error(rf.get("/api/v1/runs/"))

    assert (response.status_code, response["Content-Type"]) == (500, "application/problem+json")


@pytest.mark.django_db
@pytest.mark.parametrize("accept", ["text/html", "application/xml", "nonsense", "text/csv, */*;q=0.1"])
def test_accept_header_is_ignored(client, accept):
    run = make_run()

    response = client.get(f"/api/v1/runs/{run.pk}/?format=xml", headers={"Accept": accept})

    assert response.status_code == 200
    assert response["Content-Type"] == "application/json"


@pytest.mark.django_db
def test_unexpected_error_is_500_without_details(client, monkeypatch, caplog):
    def fail(_request):
        raise RuntimeError("password=hunter2")

    monkeypatch.setattr("apps.api.views.runs.listed_runs", fail)

    response = client.get("/api/v1/runs/")

    assert response.status_code == 500
    assert response["Content-Type"] == "application/problem+json"
    assert b"hunter2" not in response.content
    assert "hunter2" in caplog.text


@pytest.mark.django_db
def test_unreachable_database_is_503_without_details(client, monkeypatch):
    def fail(_request):
        raise OperationalError("connection to 10.0.0.7 refused")

    monkeypatch.setattr("apps.api.views.runs.listed_runs", fail)

    response = client.get("/api/v1/runs/")

    assert response.status_code == 503
    assert response["Retry-After"] == "5"
    assert b"10.0.0.7" not in response.content


@pytest.mark.parametrize(
    ("error", "errors"),
    [
        (ValidationError("Wrong."), {"__all__": ["Wrong."]}),
        (ValidationError({"store": ["Unknown."]}), {"store": ["Unknown."]}),
        (ValidationError({"__all__": ["Wrong."]}), {"__all__": ["Wrong."]}),
        (ApiValidationError("Wrong."), {"__all__": ["Wrong."]}),
        (ApiValidationError({"non_field_errors": ["Wrong."]}), {"__all__": ["Wrong."]}),
        (ApiValidationError({"a": {"b": ["1", "2"]}, "c": "3"}), {"a.b": ["1", "2"], "c": ["3"]}),
        (ApiValidationError([{"a": ["1"]}, {"a": ["2"]}]), {"a": ["1", "2"]}),
    ],
)
def test_validation_errors_are_flat_and_by_field(error, errors):
    response = handle_exception(error, {})

    assert response.status_code == 400
    assert json_of(response)["errors"] == errors


@pytest.mark.parametrize(
    ("error", "status"), [(PermissionDenied("No."), 403), (NotFound(), 404), (Throttled(wait=7), 429)]
)
def test_other_errors_keep_their_status(error, status):
    response = handle_exception(error, {})

    assert response.status_code == status
    assert json_of(response)["status"] == status


def test_throttled_response_has_the_header_retry_after():
    assert handle_exception(Throttled(wait=7), {})["Retry-After"] == "7"
