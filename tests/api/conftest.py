"""Fixtures of the API tests: a service, a client with a token, and a fake broker."""

from typing import Any

import pytest
from django.http.response import HttpResponseBase
from django.test import Client

from apps.services.models import Service
from tests.factories import make_service, make_token


def client_of(secret: str) -> Client:
    return Client(headers={"Authorization": f"Bearer {secret}"})


def body_of(response: HttpResponseBase) -> bytes:
    """The whole body; a streamed response is closed."""
    return b"".join(response)


@pytest.fixture
def service(db: Any) -> Service:
    return make_service(slug="orders", name="Orders")


@pytest.fixture
def client(db: Any) -> Client:
    """Client with the token of a superuser, whose last use is recorded already, so that requests need no UPDATE."""
    token, secret = make_token()
    token.record_use("127.0.0.1")
    return client_of(secret)


@pytest.fixture
def broker_messages(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Run ids of the messages to the workers. No broker receives them."""
    run_ids: list[int] = []

    def record(*, kwargs: dict[str, int], **_options: Any) -> None:
        run_ids.append(kwargs["run_id"])

    monkeypatch.setattr("apps.runs.tasks.execute_run.apply_async", record)
    return run_ids
