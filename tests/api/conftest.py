"""What the tests of the API start from: a token that may do everything, and a client that shows it."""

from collections.abc import Callable
from typing import Any

import pytest
from django.http.response import HttpResponseBase
from django.test import Client

from apps.services.models import Service
from tests.factories import make_service, make_token


def client_of(secret: str) -> Client:
    return Client(headers={"Authorization": f"Bearer {secret}"})


def body_of(response: HttpResponseBase) -> bytes:
    """The whole body, streamed or not; what is streamed is closed by that."""
    return b"".join(response)


@pytest.fixture
def service(db: Any) -> Service:
    return make_service(slug="orders", name="Orders")


@pytest.fixture
def client(db: Any) -> Client:
    """With the token of a superuser, used once before, so that its use is noted already."""
    token, secret = make_token()
    token.record_use("127.0.0.1")
    return client_of(secret)


@pytest.fixture
def broker_messages(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The runs for which the bell was rung; no broker hears it."""
    rung: list[int] = []

    def note(*, kwargs: dict[str, int], **_options: Any) -> None:
        rung.append(kwargs["run_id"])

    notify_workers: Callable[..., None] = note
    monkeypatch.setattr("apps.runs.tasks.execute_run.apply_async", notify_workers)
    return rung
