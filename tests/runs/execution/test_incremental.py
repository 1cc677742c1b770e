"""Incremental pulls: the value of {since} in requests and logs, and when it advances."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.db import connection

from apps.runs.execution.executor import execute_run
from apps.runs.execution.queue import queue_run
from apps.runs.execution.resync import queue_resync
from apps.runs.models import LogEntry, Run
from apps.services.definition.since import utc_text
from tests.factories import make_connection, make_service
from tests.services.web import Reply, Request, reply_json, serving

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("own_folders")]
FIRST = "2026-01-01T00:00:00Z"


class Shop:
    """A source with orders that change, and a destination."""

    def __init__(self):
        self.orders = [{"id": 1, "at": "2026-03-01T10:00:00+02:00"}, {"id": 2, "at": "2026-03-01T09:00:00Z"}]
        self.status = 200
        self.sinces = []
        self.bodies = []
        self.pushed = []

    def __call__(self, request: Request) -> Reply:
        if request.path == "/stock":
            self.pushed.append(json.loads(request.body))
            return reply_json({}, 201)
        self.sinces.append(request.query.get("since"))
        self.bodies.append(request.body)
        return reply_json(self.orders, self.status)


@pytest.fixture
def shop():
    shop = Shop()
    with serving(shop) as web:
        shop.url = web.url
        yield shop


def service_of(shop, since=None, /, **fields):
    system = make_connection(url=shop.url)
    options = {"path": "/orders", "params": {"since": "{since}"}, **({"since": since} if since else {})}
    return make_service(
        source_connection=system,
        source_options=options | fields.pop("source_options", {}),
        destination_connection=system,
        destination_options={"path": "/stock"},
        max_attempts=1,
        **fields,
    )


def execute(service, **arguments):
    run = execute_run(queue_run(service, trigger=Run.Trigger.MANUAL, **arguments).pk, worker="test")
    service.refresh_from_db()
    return run


def messages(run):
    return list(LogEntry.objects.filter(run_id=run.pk).order_by("sequence").values_list("message", flat=True))


def test_since_is_the_start_of_the_last_successful_run_minus_the_overlap(shop):
    service = service_of(shop, {"first": FIRST, "from": "run_start", "overlap_seconds": 300})

    first = execute(service)
    second = execute(service)

    assert shop.sinces == [FIRST, utc_text(first.started_at - timedelta(seconds=300))]
    assert service.since == utc_text(second.started_at)
    assert f"{{since}} is {FIRST} (the first value)" in messages(first)
    assert f"{{since}} of the next run: {utc_text(first.started_at)}" in messages(first)
    assert f"{{since}} is {shop.sinces[1]} ({utc_text(first.started_at)} minus 300 s)" in messages(second)


def test_since_without_first_value_is_left_out(shop):
    service = service_of(shop)

    run = execute(service)

    assert shop.sinces == [None]
    assert "{since} has no value yet: everything is pulled" in messages(run)


def test_since_is_the_maximum_of_a_field_in_any_time_zone(shop):
    service = service_of(shop, {"from": "at"})

    execute(service)
    execute(service)

    assert service.since == "2026-03-01T09:00:00Z"
    assert shop.sinces == [None, "2026-03-01T09:00:00Z"]


def test_maximum_that_is_a_number_is_a_number_in_the_body(shop):
    body = {"after": "{since}", "text": "id > {since}"}
    service = service_of(
        shop,
        {"from": "id", "first": "0"},
        source_options={"method": "POST", "body": body, "params": {}},
    )
    shop.orders = [{"id": 9}, {"id": 10}, {"id": True}, {"id": None}, {}]

    execute(service)
    execute(service)

    assert [json.loads(body) for body in shop.bodies] == [
        {"after": 0, "text": "id > 0"},
        {"after": 10, "text": "id > 10"},
    ]


def test_maximum_in_the_future_is_limited_to_the_start_of_the_run(shop):
    service = service_of(shop, {"from": "at"})
    shop.orders = [{"id": 1, "at": "2999-01-01T00:00:00+01:00"}]

    run = execute(service)

    assert datetime.fromisoformat(service.since) == run.started_at.replace(microsecond=0)
    assert service.since.endswith("+01:00")
    assert run.warning_count == 1


def test_maximum_never_goes_back(shop):
    service = service_of(shop, {"from": "at"}, since="2026-05-01T00:00:00Z")

    execute(service)

    assert service.since == "2026-05-01T00:00:00Z"


def test_records_without_the_field_are_a_warning(shop):
    service = service_of(shop, {"from": "changed"}, since="5")

    run = execute(service)

    assert (service.since, run.warning_count, run.status) == ("5", 1, "succeeded")


def test_since_does_not_advance_when_the_run_fails(shop):
    service = service_of(shop, {"first": FIRST})
    shop.status = 404

    run = execute(service)

    assert (run.status, service.since) == ("failed", "")


def test_since_does_not_advance_after_a_dry_run(shop):
    service = service_of(shop, {"first": FIRST})

    execute(service, is_dry_run=True)

    assert service.since == ""


def test_since_does_not_advance_after_a_run_for_one_record(shop):
    service = service_of(shop, {"first": FIRST})

    execute(service, options={"record_id": "1"})

    assert service.since == ""


def test_since_does_not_advance_after_a_replay(shop):
    service = service_of(shop, {"first": FIRST})
    original = execute(service, store=["pull"])
    before = service.since
    service.since = "2026-02-01T00:00:00Z"
    service.save()

    replay = execute(service, replay_of=original)

    assert before == utc_text(original.started_at)
    assert service.since == "2026-02-01T00:00:00Z"
    assert [message for message in messages(replay) if "{since}" in message] == []


def test_resync_pulls_from_the_first_value_and_does_not_advance(shop):
    service = service_of(shop, {"first": FIRST})
    original = execute(service)
    before = service.since

    resync = queue_resync(original, keys=["1"], origin="source", user=None)
    run = execute_run(resync.pk, worker="test")
    service.refresh_from_db()

    assert run.status == "succeeded"
    assert shop.sinces == [FIRST, FIRST]
    assert service.since == before


def test_resync_of_single_records_sends_no_since(shop):
    service = service_of(shop, {"first": FIRST}, source_options={"record_path": "/orders/{key}"})
    original = execute(service)

    run = execute_run(queue_resync(original, keys=["1"], origin="source", user=None).pk, worker="test")

    assert run.status == "succeeded"
    assert shop.sinces == [FIRST, None]


def test_since_of_one_run_is_pulled_as_given(shop):
    service = service_of(shop, {"first": FIRST, "overlap_seconds": 300}, since="2026-05-01T00:00:00Z")

    run = execute(service, options={"since": "2026-03-01T02:00:00+02:00"})

    assert shop.sinces == ["2026-03-01T00:00:00Z"]
    assert service.since == utc_text(run.started_at)
    assert "{since} is 2026-03-01T00:00:00Z (an option of this run)" in messages(run)


def test_since_of_one_run_that_leaves_out_records_does_not_advance(shop):
    service = service_of(shop, {"first": FIRST}, since="2026-02-01T00:00:00Z")

    execute(service, options={"since": "2026-03-01T00:00:00Z"})

    assert service.since == "2026-02-01T00:00:00Z"


@pytest.mark.parametrize(
    ("since", "message"),
    [("2999-01-01", "is in the future"), ("yesterday", "is not a time")],
)
def test_invalid_since_of_one_run_is_rejected(shop, since, message):
    with pytest.raises(ValidationError) as caught:
        execute(service_of(shop), options={"since": since})

    assert message in caught.value.message_dict["since"][0]


def test_since_of_one_run_needs_a_source_that_uses_it(shop):
    service = service_of(shop, source_options={"params": {}})

    with pytest.raises(ValidationError) as caught:
        execute(service, options={"since": FIRST})

    assert "does not use {since}" in caught.value.message_dict["since"][0]


def test_since_in_the_future_is_a_warning(shop):
    future = utc_text(datetime.now(UTC) + timedelta(days=30))
    service = service_of(shop, since=future)

    run = execute(service)

    assert run.warning_count == 1
    assert service.since == future


def test_value_that_was_edited_during_the_run_is_kept(shop):
    service = service_of(shop, since="2026-02-01T00:00:00Z")
    run = queue_run(service, trigger=Run.Trigger.MANUAL)

    def edit(request):
        type(service).objects.filter(pk=service.pk).update(since=FIRST)
        connection.close()
        return reply_json([])

    with serving(edit) as web:
        service.source_connection.url = web.url
        service.source_connection.save()
        execute_run(run.pk, worker="test")
    service.refresh_from_db()

    assert service.since == FIRST


def test_sync_command_overrides_since(shop, capsys):
    service = service_of(shop)

    call_command("sync", service.slug, "--option", f"since={FIRST}")

    assert shop.sinces == [FIRST]
    assert f"{{since}} is {FIRST}" in capsys.readouterr().out
