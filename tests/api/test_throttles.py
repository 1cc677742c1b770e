"""How often one may ask, and how a token's end is told."""

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from apps.api.models import ApiToken, new_secret
from apps.api.throttling import MinuteCounter
from tests.api.conftest import client_of
from tests.factories import make_token, make_user

pytestmark = pytest.mark.django_db
PATH = "/api/v1/services/"


@pytest.fixture(autouse=True)
def still_clock(monkeypatch):
    """Half a minute before the next."""
    monkeypatch.setattr("apps.api.throttling.counter._clock", lambda: 90.0)


def test_one_token_too_often_is_429_and_another_is_let_in(settings):
    settings.API_TOKEN_RATE = 2
    eager, calm = client_of(make_token()[1]), client_of(make_token()[1])

    responses = [eager.get(PATH) for _index in range(3)]

    assert [response.status_code for response in responses] == [200, 200, 429]
    assert responses[2]["Content-Type"] == "application/problem+json"
    assert responses[2]["Retry-After"] == "30"
    assert calm.get(PATH).status_code == 200


def test_one_address_too_often_is_429_whatever_the_token(settings):
    settings.API_ADDRESS_RATE = 2
    first, second = client_of(make_token()[1]), client_of(make_token()[1])

    responses = [client.get(PATH, REMOTE_ADDR="192.0.2.7") for client in (first, second, first)]

    assert [response.status_code for response in responses] == [200, 200, 429]
    assert first.get(PATH, REMOTE_ADDR="192.0.2.8").status_code == 200


@pytest.mark.parametrize("wrong", ["Bearer x", "Basic dXNlcjpwYXNz", "Bearer {unknown}"])
def test_wrong_tokens_are_counted_apart_and_a_right_one_is_let_in(settings, wrong):
    settings.API_FAILURE_RATE = 2
    right = client_of(make_token()[1])
    wrong = wrong.replace("{unknown}", new_secret())

    responses = [Client().get(PATH, headers={"Authorization": wrong}) for _index in range(3)]

    assert [response.status_code for response in responses] == [401, 401, 429]
    assert responses[2]["Retry-After"] == "30"
    assert right.get(PATH).status_code == 200


def test_no_token_at_all_is_no_attempt(settings):
    settings.API_FAILURE_RATE = 1

    assert [Client().get(PATH).status_code for _index in range(3)] == [401] * 3


def test_rate_of_zero_is_any_number(settings):
    settings.API_TOKEN_RATE = 0
    client = client_of(make_token()[1])

    assert {client.get(PATH).status_code for _index in range(5)} == {200}


def test_count_begins_anew_with_the_minute():
    times = iter([59.0, 59.5, 60.0, 61.0])
    counter = MinuteCounter(clock=lambda: next(times))

    assert [counter.count("a", 1) for _index in range(4)] == [0, 1, 0, 59]


def test_end_of_a_token_is_told_in_its_last_two_weeks(client):
    token, secret = make_token(expires_at=timezone.now() + timedelta(days=13))

    response = client_of(secret).get(PATH)
    problem = client_of(secret).get("/api/v1/runs/1/")

    assert response["Synclog-Token-Expires"] == f"{token.expires_at:%Y-%m-%dT%H:%M:%S.%fZ}"
    assert problem["Synclog-Token-Expires"] == response["Synclog-Token-Expires"]
    assert "Synclog-Token-Expires" not in client.get(PATH)


def test_token_of_more_than_a_year_is_not_made():
    with pytest.raises(ValueError, match="one year"):
        make_token(make_user(), expires_at=timezone.now() + timedelta(days=366))

    assert not ApiToken.objects.exists()


def test_token_is_nowhere_in_answers_or_the_log(caplog):
    secret = new_secret()

    response = Client().get(f"{PATH}?limit={'x' * 5}", headers={"Authorization": f"Bearer {secret}"})

    assert secret.encode() not in response.content
    assert secret not in caplog.text
