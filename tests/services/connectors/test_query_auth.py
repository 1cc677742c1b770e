"""API key in the query: sent to the system of the connection only, and never shown."""

import logging

import pytest

from apps.runs.execution.executor import execute_run
from apps.runs.execution.queue import queue_run
from apps.runs.models import LogEntry, Payload, Record, Run
from apps.services.connectors.base import ConnectorError
from tests.factories import make_connection, make_service
from tests.services.transfers import connection_to, make_context, pull, push
from tests.services.web import Reply, reply_json, serving

SECRET = "s3cret key/&="
BY_QUERY = {"auth": "query", "auth_query": "code", "secret": SECRET}


def test_key_is_sent_with_pulls_and_pushes():
    with serving(lambda request: reply_json([{"id": 1}])) as web:
        connection = connection_to(web.url, **BY_QUERY)
        pages = pull(connection, {"path": "/orders", "params": {"state": "a b"}})
        deliveries = push(connection, {"path": "/stock?v=1"}, [[{"id": 1}]])

    assert [request.query for request in web.requests] == [
        {"state": "a b", "code": SECRET},
        {"v": "1", "code": SECRET},
    ]
    assert pages[0].origin == f"{web.url}/orders?state=a+b"
    assert deliveries[0].outcome == f"POST {web.url}/stock?v=1: 200 OK"


def test_key_in_the_next_link_is_sent_once():
    def respond(request):
        links = {"Link": "</orders?page=2&code=old>; rel=next"} if "page" not in request.query else {}
        return reply_json([{"page": request.query.get("page")}], **links)

    with serving(respond) as web:
        pull(connection_to(web.url, **BY_QUERY), {"path": "/orders", "pagination": {"type": "link"}})

    assert web.requests[1].query == {"page": "2", "code": SECRET}


def test_key_is_not_sent_to_another_system():
    with serving(lambda request: reply_json([])) as other:

        def respond(request):
            key = "code=s3cret+key%2F%26%3D"
            return Reply(302, b"", {"Location": f"{other.url}/?x=1&{key}"})

        with serving(respond) as web:
            pull(connection_to(web.url, **BY_QUERY), {})

    assert "code" in web.requests[0].query
    assert other.requests[0].query == {"x": "1"}


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "http://nowhere.invalid", "https://127.0.0.1:9"])
def test_errors_of_the_network_do_not_contain_the_key(url, caplog):
    with caplog.at_level(logging.DEBUG), pytest.raises(ConnectorError) as caught:
        pull(connection_to(url, **BY_QUERY), {}, make_context(max_attempts=2))

    for text in (str(caught.value), *(record.getMessage() for record in caplog.records)):
        assert "s3cret" not in text


@pytest.mark.django_db(transaction=True)
def test_key_that_the_system_repeats_is_masked_in_lines_records_and_payload_names(settings, tmp_path):
    settings.SPOOL_DIR = tmp_path / "spool"

    def respond(request):
        code = request.query["code"]
        if request.method == "GET":
            return reply_json([{"id": 1}])
        return reply_json({"detail": f"invalid code {code}"}, 422)

    with serving(respond) as web:
        system = make_connection(url=web.url, **BY_QUERY)
        service = make_service(source_connection=system, destination_connection=system)
        run = queue_run(service, trigger=Run.Trigger.MANUAL, store=["pull", "push"])
        run = execute_run(run.pk, worker="test")

    lines = "\n".join(LogEntry.objects.filter(run_id=run.pk).values_list("message", flat=True))
    assert "invalid code ••••" in lines
    texts = [lines, run.error, *Payload.objects.values_list("name", flat=True)]
    texts += Record.objects.values_list("message", flat=True)
    assert len(texts) > 3
    assert not [text for text in texts if "s3cret" in text]
