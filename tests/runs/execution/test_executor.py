"""Execution of a run from pull to push, its failures, and the `sync` command."""

import json
import logging
from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.core.management import CommandError, call_command
from django.db.models.functions import Now
from django.utils import timezone

from apps.runs.execution.executor import execute_run
from apps.runs.execution.queue import queue_run
from apps.runs.log.spool import Spool, spooled_runs
from apps.runs.models import LogEntry, Payload, Run
from apps.runs.recovery.lost_runs import close_lost_runs
from tests.factories import make_connection, make_run
from tests.systems import service_between, systems

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("own_folders")]
SCRIPT = """
def transform(records):
    log("got %d" % len(records))
    return [{"sku": r["id"], "qty": r["quantity"]} for r in records]
"""
ORDERS = [{"id": 10_000 + number, "quantity": number} for number in range(1, 26)]


@pytest.fixture
def world():
    with systems(ORDERS) as world:
        yield world


@pytest.fixture
def service(world):
    return service_between(
        world, slug="orders", script=SCRIPT, destination_options={"path": "/stock", "batch_size": 5}
    )


def execute(service, **arguments):
    run = queue_run(service, trigger=Run.Trigger.MANUAL, **arguments)
    ended = execute_run(run.pk, worker="test")
    assert ended is not None
    return ended


def lines(run):
    return list(LogEntry.objects.filter(run_id=run.pk).order_by("sequence"))


def test_run_pulls_transforms_and_pushes_every_record(service, world):
    run = execute(service)

    assert (run.status, run.pulled_count, run.pushed_count) == ("succeeded", 25, 25)
    assert (run.warning_count, run.error_count, run.error) == (0, 0, "")
    assert (run.line_count, run.is_complete, run.lost_line_count) == (len(lines(run)), True, 0)
    assert [line.sequence for line in lines(run)] == list(range(1, run.line_count + 1))
    pushed = [record for body in world.received for record in json.loads(body)]
    assert pushed == [{"sku": order["id"], "qty": order["quantity"]} for order in ORDERS]
    assert run.lease_token is None
    assert spooled_runs() == []


@pytest.mark.parametrize(("minutes", "is_logged"), [(1, False), (30, True)])
def test_run_of_missed_scheduled_time_logs_its_delay(service, minutes, is_logged):
    scheduled_for = timezone.now() - timedelta(minutes=minutes)
    run = make_run(service, status="queued", trigger="schedule", scheduled_for=scheduled_for)

    ended = execute_run(run.pk, worker="test")

    message = f"The run is late: its scheduled time was {scheduled_for:%Y-%m-%d %H:%M} UTC"
    assert [line.message for line in lines(ended) if "late" in line.message] == [message] * is_logged


def test_second_delivery_does_nothing(service, world):
    run = execute(service)
    received = len(world.received)

    assert execute_run(run.pk, worker="other") is None
    assert len(world.received) == received


def test_run_without_store_options_stores_no_payload(service):
    execute(service)

    assert Payload.objects.count() == 0


@pytest.mark.parametrize("kind", ["pull", "script", "push"])
def test_store_option_stores_its_kind_at_the_matching_lines(service, world, kind):
    run = execute(service, store=[kind])

    payloads = list(Payload.objects.order_by("sequence", "name"))
    messages = {line.sequence: line.message for line in lines(run) if line.level > logging.DEBUG}
    beginnings = {
        "pull": ("Pulled page",),
        "script": ("Script called", "Script returned"),
        "push": ("POST",),
    }[kind]
    expected = [number for number, message in messages.items() if message.startswith(beginnings)]
    assert {payload.kind for payload in payloads} == {kind}
    assert sorted({payload.sequence for payload in payloads}) == expected
    assert {payload.expires_at - run.finished_at for payload in payloads} == {timedelta(hours=24)}
    if kind == "pull":
        assert [payload.size for payload in payloads] == [len(world.sent[page]) for page in (1, 2, 3)]


def test_dry_run_pushes_nothing(service, world):
    run = execute(service, is_dry_run=True)

    assert (run.status, run.pulled_count, run.pushed_count, world.received) == ("succeeded", 25, 0, [])


def test_record_id_selects_a_single_record(service, world):
    run = execute(service, options={"record_id": "10007"})

    assert (run.pulled_count, run.pushed_count) == (25, 1)
    assert json.loads(world.received[0]) == [{"sku": 10007, "qty": 7}]


def test_page_size_of_run_overrides_default(service, world):
    execute(service, options={"page_size": 25})

    assert len(json.loads(world.sent[1])) == 25


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("def transform(records):\n    return records[99]\n", "orders:2:12"),
        ("def transform(records)\n", "line"),
        ("x = 1\n", "transform"),
        ("def transform(records):\n    return 7\n", "list"),
        ('def transform(records):\n    return ["x" * 1000000000000000000]\n', "orders:2:13"),
    ],
)
def test_script_error_fails_only_its_own_run(service, script, message):
    service.set_script(script)
    failed = execute(service)
    service.set_script(SCRIPT)
    healthy = execute(service)

    assert (failed.status, failed.pushed_count, healthy.status) == ("failed", 0, "succeeded")
    assert failed.error
    assert message in "\n".join(line.message for line in lines(failed) if line.level == logging.ERROR)
    assert failed.is_complete


def test_unreachable_source_fails_the_run_with_a_message(service):
    service.source_connection = make_connection(url="http://127.0.0.1:9")
    service.max_attempts = 1
    service.save()

    run = execute(service)

    assert run.status == "failed"
    assert "127.0.0.1:9" in run.error
    assert lines(run)[run.error_sequence - 1].message.startswith(run.error)


def test_failure_is_counted_once_and_last_line_matches(service):
    service.source_connection.url = "http://127.0.0.1:9"
    service.source_connection.save()

    run = execute(service, options={"max_attempts": 1})

    assert run.error_count == 1
    assert lines(run)[-1].message.endswith("0 pulled, 0 pushed, 0 warnings, 1 error")


def test_missing_secret_error_names_the_variable(service):
    service.source_connection = make_connection(
        url=service.source_connection.url, auth="bearer", secret_env="SYNCLOG_TEST_UNSET"
    )
    service.save()

    run = execute(service)

    assert run.status == "failed"
    assert "SYNCLOG_TEST_UNSET" in run.error


def test_connection_secrets_are_masked_in_log(service, world):
    service.source_connection = make_connection(url=world.url, auth="bearer", secret="hunter22-hunter22")
    service.save()
    service.set_script('def transform(records):\n    log("I know hunter22-hunter22")\n    return records\n')

    run = execute(service)

    messages = "\n".join(line.message for line in lines(run))
    assert run.status == "succeeded"
    assert "hunter22" not in messages
    assert "I know ••••" in messages


def test_lines_of_a_private_key_and_its_passphrase_are_masked_in_log(service, settings, tmp_path):
    settings.FILE_ROOTS = [tmp_path]
    secret = "-----BEGIN\r\nfirst-line\r\nsecond-line\r\n-----END"
    connection = make_connection(kind="file", url=f"file://{tmp_path}", auth="key", secret=secret)
    connection.set_passphrase("open-sesame")
    connection.save()
    service.destination_connection = connection
    service.destination_options = {"path": "{run}.json", "format": "json"}
    service.save()
    service.set_script('def transform(records):\n    log("second-line, open-sesame")\n    return []\n')

    run = execute(service)

    assert "••••, ••••" in "\n".join(line.message for line in lines(run))


def test_timeout_fails_the_run_with_a_message(service, monkeypatch):
    hours = iter(range(0, 10**9, 3600))
    monkeypatch.setattr("apps.runs.execution.pipeline.time", SimpleNamespace(monotonic=lambda: next(hours)))

    run = execute(service)

    assert run.status == "failed"
    assert "Timed out" in run.error


def test_failing_payload_store_does_not_fail_the_run(service, settings, tmp_path):
    (tmp_path / "payloads").write_text("not a folder")

    run = execute(service, store=["pull"])

    assert (run.status, run.pushed_count, run.warning_count) == ("succeeded", 25, 3)
    messages = [line.message for line in lines(run) if line.message.startswith("Pulled")]
    assert len(messages) == 3
    assert all("json could not be stored: the payload store failed" in message for message in messages)


def test_internal_error_fails_the_run_and_logs_its_traceback(service, monkeypatch):
    def broken(*_arguments):
        raise RuntimeError("a bug")

    monkeypatch.setattr("apps.runs.execution.pipeline.open_source", broken)

    run = execute(service)

    assert (run.status, run.is_complete) == ("failed", True)
    assert "RuntimeError: a bug" in "\n".join(line.message for line in lines(run))


def test_lost_run_is_closed_with_every_spooled_line(service):
    run = queue_run(service, trigger=Run.Trigger.MANUAL)
    run.claim("dead worker")
    spool = Spool(run.pk)
    spool.open()
    for sequence in range(1, 4):
        spool.append(
            f"{run.pk}\t{sequence}\t2026-11-23 07:15:09.000000+00\t40\t2\tline {sequence}\n".encode()
        )
    spool.close()
    assert close_lost_runs(worker="sweeper") == 0, "its lease has not expired"
    Run.objects.filter(pk=run.pk).update(lease_until=Now() - timedelta(seconds=1))

    assert close_lost_runs(worker="sweeper") == 1

    run.refresh_from_db()
    assert (run.status, run.is_complete, run.line_count) == ("lost", True, 4)
    assert [line.message for line in lines(run)][:3] == ["line 1", "line 2", "line 3"]
    assert "dead worker" in lines(run)[3].message
    assert spooled_runs() == []
    assert close_lost_runs(worker="sweeper") == 0


def test_sync_command_prints_lines_and_succeeds(service, capsys):
    call_command("sync", "orders", "--store", "pull", "push", "--option", "page_size=25")

    output = capsys.readouterr().out
    run = Run.objects.get()
    assert (run.status, run.stores, run.options) == ("succeeded", ("pull", "push"), {"page_size": 25})
    assert "INFO    pull   Pulled page 1: 25 records from" in output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing"], "Unknown service 'nothing'. Allowed: orders."),
        (["orders", "--option", "page_size=many"], "page_size"),
        (["orders", "--option", "page_size"], "KEY=VALUE"),
    ],
)
def test_sync_command_reports_invalid_arguments(service, arguments, message):
    with pytest.raises(CommandError, match=message.replace(".", r"\.")):
        call_command("sync", *arguments)


def test_sync_command_fails_if_its_run_fails(service):
    service.set_script("def transform(records):\n    return 7\n")

    with pytest.raises(CommandError, match="failed"):
        call_command("sync", "orders")
