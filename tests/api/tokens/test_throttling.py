"""Rate limits by token and by address, and the announced expiry of tokens."""

import socket
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import pytest
from django.test import Client
from django.utils import timezone

from apps.api.models import ApiToken, new_secret
from apps.api.tokens.throttling import MinuteCounter
from config.broker import caches
from tests.api.conftest import client_of
from tests.factories import make_token, make_user

pytestmark = pytest.mark.django_db
PATH = "/api/v1/services/"
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(autouse=True)
def frozen_time(monkeypatch):
    """The clock stands at half past the first minute, so that 30 s remain."""
    monkeypatch.setattr(time, "time", lambda: 90.0)


@pytest.fixture(params=["memory", "redis"])
def cache_backend(request, settings, tmp_path):
    """The cache of either kind of broker."""
    if request.param == "redis":
        server = request.getfixturevalue("redis_server")
        settings.CACHES = caches(server.url, tmp_path)


def test_requests_of_a_token_are_limited(settings, cache_backend):
    settings.API_TOKEN_RATE = 2
    busy, idle = client_of(make_token()[1]), client_of(make_token()[1])

    responses = [busy.get(PATH) for _index in range(3)]

    assert [response.status_code for response in responses] == [200, 200, 429]
    assert responses[2]["Content-Type"] == "application/problem+json"
    assert responses[2]["Retry-After"] == "30"
    assert idle.get(PATH).status_code == 200


def test_requests_of_an_address_are_limited_over_all_tokens(settings):
    settings.API_ADDRESS_RATE = 2
    first, second = client_of(make_token()[1]), client_of(make_token()[1])

    responses = [client.get(PATH, REMOTE_ADDR="192.0.2.7") for client in (first, second, first)]

    assert [response.status_code for response in responses] == [200, 200, 429]
    assert first.get(PATH, REMOTE_ADDR="192.0.2.8").status_code == 200


@pytest.mark.parametrize("header", ["Bearer x", "Basic dXNlcjpwYXNz", "Bearer {unknown}"])
def test_invalid_tokens_are_limited_and_a_valid_token_is_accepted(settings, header):
    settings.API_FAILURE_RATE = 2
    valid = client_of(make_token()[1])
    header = header.replace("{unknown}", new_secret())

    responses = [Client().get(PATH, headers={"Authorization": header}) for _index in range(3)]

    assert [response.status_code for response in responses] == [401, 401, 429]
    assert responses[2]["Retry-After"] == "30"
    assert valid.get(PATH).status_code == 200


def test_request_without_a_token_is_not_an_invalid_token(settings):
    settings.API_FAILURE_RATE = 1

    assert [Client().get(PATH).status_code for _index in range(3)] == [401] * 3


def test_rate_of_zero_is_no_limit(settings):
    settings.API_TOKEN_RATE = 0
    client = client_of(make_token()[1])

    assert {client.get(PATH).status_code for _index in range(5)} == {200}


def test_limit_applies_to_each_minute_of_the_clock(settings, monkeypatch):
    settings.API_TOKEN_RATE = 1
    client = client_of(make_token()[1])
    statuses = []

    for now in (119.0, 119.5, 120.0, 121.0):
        monkeypatch.setattr(time, "time", lambda now=now: now)
        statuses.append(client.get(PATH).status_code)

    assert statuses == [200, 429, 200, 429]


def test_processes_count_together_on_redis(redis_server, tmp_path):
    code = (
        "import time; time.time = lambda: 90.0; import django; django.setup();"
        "from apps.api.tokens.throttling import count_failure; print(count_failure('192.0.2.7'))"
    )
    environment = {
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "SYNCLOG_DATA_DIR": str(tmp_path),
        "SYNCLOG_API_FAILURE_RATE": "1",
        **redis_server.env,
    }

    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
        )
        for _index in range(2)
    ]

    assert sorted(process.communicate(timeout=60)[0].strip() for process in processes) == ["0", "30"]


@pytest.mark.parametrize("kind", ["closed port", "server that never responds"])
def test_nothing_is_limited_while_redis_is_unreachable(settings, monkeypatch, caplog, tmp_path, kind):
    # The pause after an outage must not outlast this test.
    monkeypatch.setattr("apps.api.tokens.throttling.counter", MinuteCounter())
    settings.API_TOKEN_RATE = 1
    client = client_of(make_token()[1])
    with socket.create_server(("127.0.0.1", 0)) as server:
        settings.CACHES = caches(f"redis://127.0.0.1:{server.getsockname()[1]}/0", tmp_path)
        if kind == "closed port":
            server.close()
        started = time.monotonic()

        statuses = [client.get(PATH).status_code for _index in range(5)]

    assert statuses == [200] * 5
    assert time.monotonic() - started < 3
    assert caplog.text.count("Requests are not limited for 10 s") == 1


def test_responses_announce_the_expiry_of_a_token_in_its_last_two_weeks(client):
    token, secret = make_token(expires_at=timezone.now() + timedelta(days=13))

    response = client_of(secret).get(PATH)
    problem = client_of(secret).get("/api/v1/runs/1/")

    assert response["Synclog-Token-Expires"] == f"{token.expires_at:%Y-%m-%dT%H:%M:%S.%fZ}"
    assert problem["Synclog-Token-Expires"] == response["Synclog-Token-Expires"]
    assert "Synclog-Token-Expires" not in client.get(PATH)


def test_token_cannot_be_valid_for_more_than_a_year():
    with pytest.raises(ValueError, match="one year"):
        make_token(make_user(), expires_at=timezone.now() + timedelta(days=366))

    assert not ApiToken.objects.exists()


def test_token_appears_in_no_response_and_no_log(caplog):
    secret = new_secret()

    response = Client().get(f"{PATH}?limit={'x' * 5}", headers={"Authorization": f"Bearer {secret}"})

    assert secret.encode() not in response.content
    assert secret not in caplog.text
