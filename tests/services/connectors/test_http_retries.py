"""Retries: statuses and failures of the network, for pulls and for pushes, and the pauses that servers ask for."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import count

import pytest

from apps.services.connectors.base import ConnectorError
from apps.services.connectors.http.retry_rules import is_temporary, pause_in
from apps.services.connectors.retry import MAX_RETRY_AFTER
from tests.services.transfers import connection_to, make_context, pull, push
from tests.services.web import Reply, reply_json, serving

RETRIED = [408, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524, 525, 526, 527, 528, 529, 530]
NOW = datetime(2026, 11, 28, tzinfo=UTC)


def failing_once(reply):
    number = count(1)
    return lambda request: reply() if next(number) == 1 else reply_json([])


@pytest.mark.parametrize("status", RETRIED)
def test_status_is_retried_in_a_pull(status):
    with serving(failing_once(lambda: reply_json({}, status, Retry_After="0"))) as web:
        pages = pull(connection_to(web.url), {}, make_context(max_attempts=2))

    assert len(web.requests) == 2
    assert [page.records for page in pages] == [[]]


@pytest.mark.parametrize("status", RETRIED)
def test_status_is_retried_in_a_push_with_the_same_key(status):
    with serving(failing_once(lambda: reply_json({}, status, Retry_After="0"))) as web:
        deliveries = push(connection_to(web.url), {}, [[{"id": 1}]], make_context(max_attempts=2))

    assert [request.headers["idempotency-key"] for request in web.requests] == ["synclog-7-1-1"] * 2
    assert [delivery.accepted for delivery in deliveries] == [1]


@pytest.mark.parametrize("status", [501, 505, 519, 531])
def test_other_server_errors_are_not_retried(status):
    with (
        serving(lambda request: reply_json({}, status)) as web,
        pytest.raises(ConnectorError, match=str(status)),
    ):
        pull(connection_to(web.url), {}, make_context(max_attempts=3))

    assert len(web.requests) == 1


def test_truncated_response_to_a_push_is_retried_with_the_same_key():
    cut = Reply(200, iter([b"{"]), {"Content-Length": "10", "Connection": "close"})
    with serving(failing_once(lambda: cut)) as web:
        push(connection_to(web.url), {}, [[{"id": 1}]], make_context(max_attempts=2))

    assert [request.headers["idempotency-key"] for request in web.requests] == ["synclog-7-1-1"] * 2


@contextmanager
def closing_server() -> Iterator[tuple[int, list[int]]]:
    """A port that closes each connection after the first bytes, and the connections it accepted."""
    accepted: list[int] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def close_all() -> None:
            while True:
                try:
                    client, address = server.accept()
                except OSError:
                    return
                accepted.append(address[1])
                client.recv(100)
                client.close()

        thread = threading.Thread(target=close_all, daemon=True)
        thread.start()
        yield server.getsockname()[1], accepted
        server.shutdown(socket.SHUT_RDWR)
        thread.join(5)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_connection_that_the_server_closes_is_retried(scheme):
    with (
        closing_server() as (port, accepted),
        pytest.raises(ConnectorError, match=r"connection failed.*gave up after 2 attempts"),
    ):
        pull(connection_to(f"{scheme}://127.0.0.1:{port}"), {}, make_context(max_attempts=2))

    assert len(accepted) == 2


@pytest.mark.parametrize(
    ("status", "may_have_arrived"),
    [(500, False), (503, False), (521, False), (502, True), (504, True), (520, True), (524, True)],
)
def test_push_may_have_arrived_unless_the_destination_responded(status, may_have_arrived):
    with (
        serving(lambda request: reply_json({}, status, Retry_After="0")) as web,
        pytest.raises(ConnectorError) as caught,
    ):
        push(connection_to(web.url), {}, [[{"id": 1}]], make_context(max_attempts=2))

    assert len(web.requests) == 2
    assert caught.value.may_have_arrived is may_have_arrived


def test_push_may_have_arrived_by_an_earlier_attempt():
    number = count(1)

    def respond(request):
        return reply_json({}, 504 if next(number) == 1 else 500, Retry_After="0")

    with serving(respond) as web, pytest.raises(ConnectorError, match="500") as caught:
        push(connection_to(web.url), {}, [[{"id": 1}]], make_context(max_attempts=2))

    assert caught.value.may_have_arrived is True


def test_refusal_after_an_attempt_without_response_says_that_it_may_have_been_accepted():
    number = count(1)

    def respond(request):
        if next(number) == 1:
            return reply_json({}, 504, Retry_After="0")
        return reply_json({"detail": "exists"}, 409)

    with serving(respond) as web:
        [delivery] = push(connection_to(web.url), {}, [[{"id": 1}]], make_context(max_attempts=2))

    assert delivery.refusals == {
        0: '{"detail": "exists"} (an earlier attempt, whose response is missing, may have been accepted)'
    }


@pytest.mark.parametrize(
    ("status", "headers", "seconds"),
    [
        (429, {"RateLimit-Reset": "7"}, 7),
        (429, {"X-RateLimit-Reset": "7"}, 7),
        (429, {"X-RateLimit-Reset": str(int(NOW.timestamp()) + 9)}, 9),
        (429, {"X-RateLimit-Reset": str(int(NOW.timestamp() + 9) * 1000)}, 9),
        (429, {"X-RateLimit-Reset": str(int(NOW.timestamp()) + 10**6)}, MAX_RETRY_AFTER),
        (429, {"X-RateLimit-Reset": str(int(NOW.timestamp()) - 9)}, None),
        (429, {"Retry-After": "3", "RateLimit-Reset": "7"}, 3),
        (429, {"RateLimit-Reset": "7", "X-RateLimit-Reset": "8"}, 7),
        (429, {"RateLimit-Reset": "soon"}, None),
        (429, {"RateLimit-Reset": "nan"}, None),
        (503, {"RateLimit-Reset": "7"}, 7),
        # Sent with every response.
        (500, {"RateLimit-Reset": "7"}, None),
        (500, {"Retry-After": "7"}, 7),
    ],
)
def test_pause_follows_the_headers_of_the_response(status, headers, seconds):
    assert pause_in(status, headers, now=NOW) == seconds


@pytest.mark.parametrize(
    ("headers", "is_retried"),
    [({"X-RateLimit-Remaining": "0"}, True), ({"X-RateLimit-Remaining": "1"}, False)],
)
def test_403_is_retried_if_no_request_is_left(headers, is_retried):
    assert is_temporary(403, headers) is is_retried


def test_rate_limit_reset_delays_the_retry(caplog):
    with serving(failing_once(lambda: reply_json({}, 429, X_RateLimit_Reset="1"))) as web:
        pull(connection_to(web.url), {}, make_context(max_attempts=2))

    assert "attempt 1 of 2; retry in 1.0 s" in caplog.text
