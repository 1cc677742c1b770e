"""A run alters nothing that its script passes on, from the pull to the push."""

import pytest

from apps.runs.execution.executor import execute_run
from apps.runs.execution.queue import queue_run
from apps.runs.models import Payload, Record, Run
from apps.runs.payloads.reading import open_payload
from tests.factories import make_connection, make_service
from tests.services.web import Reply, serving

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("own_folders")]

RECORD = (
    '{"id": 19.90, "price": 1234567890.123456789, "factor": 1E5, "zero": -0.0, '
    '"big": 123456789012345678901234567890, "text": "\\u0000\\ud800"}'
)


class Shop:
    """Source and destination; `received` are the bodies that were pushed."""

    def __init__(self):
        self.content = f"[{RECORD}]".encode()
        self.received = []

    def respond(self, request):
        if request.method == "GET":
            return Reply(200, self.content, {"Content-Type": "application/json; charset=ISO-8859-1"})
        self.received.append(request.body.decode())
        return Reply(201)


@pytest.fixture
def shop():
    return Shop()


def execute(shop, script="", *, store=(), **destination):
    with serving(shop.respond) as web:
        connection = make_connection(url=web.url)
        service = make_service(
            source_connection=connection,
            source_options={},
            destination_connection=connection,
            destination_options={"batch_size": 1, **destination},
            script=script,
        )
        return execute_run(queue_run(service, trigger=Run.Trigger.MANUAL, store=store).pk, worker="test")


def content_of(payload):
    with open_payload(payload) as stream:
        return stream.read().decode()


def test_values_and_payloads_are_unchanged_through_a_script(shop):
    source = "def transform(records):\n    return [{'id': r['id'], 'all': [r]} for r in records]\n"

    run = execute(shop, source, store=["script"])

    output = f'{{"id": 19.90, "all": [{RECORD}]}}'
    assert shop.received == [output]
    assert list(Record.objects.filter(run=run).values_list("key", "outcome")) == [
        ("19.90", Record.Outcome.PUSHED)
    ]
    stored = {payload.name: content_of(payload) for payload in Payload.objects.filter(run=run)}
    assert stored == {
        "script-page-00001-input.json": f"[\n{RECORD}\n]\n",
        "script-page-00001-output.json": f"[\n{output}\n]\n",
    }


def test_replay_decodes_the_stored_page_by_its_charset(shop):
    shop.content = '[{"id": "Käse"}]'.encode("latin-1")
    original = execute(shop, store=["pull"])

    replay = queue_run(original.service, trigger=Run.Trigger.MANUAL, replay_of=original, is_dry_run=True)
    execute_run(replay.pk, worker="test")

    assert shop.received == ['{"id": "Käse"}']
    assert Record.objects.get(run=replay).key == "Käse"


@pytest.mark.parametrize(
    ("first", "second"), [("19.9", "19.90"), ("1234567890.123456789", "1234567890.1234567891")]
)
def test_number_with_other_digits_is_not_unchanged(shop, first, second):
    with serving(shop.respond) as web:
        connection = make_connection(url=web.url)
        service = make_service(
            source_connection=connection,
            source_options={},
            destination_connection=connection,
            destination_options={"batch_size": 1, "skip_unchanged": True},
        )
        for price in (first, first, second):
            shop.content = f'[{{"id": 1, "price": {price}}}]'.encode()
            execute_run(queue_run(service, trigger=Run.Trigger.MANUAL).pk, worker="test")

    assert shop.received == [f'{{"id": 1, "price": {price}}}' for price in (first, second)]
