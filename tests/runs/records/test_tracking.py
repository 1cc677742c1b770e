"""Tracking of records: the outcome of each key of a run."""

import json
import logging

import pytest
from django.core.management import call_command

from apps.runs.execution.executor import execute_run
from apps.runs.execution.queue import queue_run
from apps.runs.models import LogEntry, Record, Run
from tests.factories import make_connection
from tests.systems import service_between, systems

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("own_folders")]


@pytest.fixture
def world():
    with systems([{"id": number} for number in range(1, 26)]) as world:
        yield world


def execute(service, **arguments):
    run = execute_run(queue_run(service, trigger=Run.Trigger.MANUAL, **arguments).pk, worker="test")
    assert run is not None
    return run


def outcomes(run):
    return {record.key: Record.Outcome(record.outcome).slug for record in Record.objects.filter(run=run)}


def messages(run):
    return list(LogEntry.objects.filter(run_id=run.pk).order_by("sequence").values_list("message", flat=True))


def line_of(record):
    return LogEntry.objects.get(run_id=record.run_id, sequence=record.sequence)


def test_each_record_has_one_outcome_with_its_line(world):
    world.refused = [b'"id": 7}']
    service = service_between(world, destination_options={"path": "/stock", "batch_size": 1})

    run = execute(service)

    assert outcomes(run) == {str(n): "refused" if n == 7 else "pushed" for n in range(1, 26)}
    assert (run.pulled_count, run.pushed_count, run.refused_count) == (25, 24, 1)
    refused = Record.objects.get(run=run, key="7")
    assert (refused.page, refused.batch, refused.step, refused.message) == (1, 7, 4, "422 unknown sku")
    assert line_of(refused).level == logging.ERROR
    assert "1 record refused: unknown sku" in line_of(refused).message
    assert run.has_records


def test_script_drops_renames_and_adds_records(world):
    script = """
def transform(records):
    kept = [{"sku": r["id"]} for r in records if r["id"] % 2]
    return kept + [{"sku": "new-%d" % records[0]["id"]}]
"""
    service = service_between(world, script=script, destination_options={"path": "/stock", "id_field": "sku"})

    run = execute(service)

    expected = {str(n): "pushed" if n % 2 else "dropped" for n in range(1, 26)}
    assert outcomes(run) == expected | {"new-1": "pushed", "new-11": "pushed", "new-21": "pushed"}
    dropped = Record.objects.get(run=run, key="2")
    assert line_of(dropped).message.startswith("Script returned 6 records")


def test_output_without_keys_is_not_reported_as_dropped(world):
    service = service_between(
        world, script="def transform(records):\n    return [{'sku': r['id']} for r in records]\n"
    )

    run = execute(service)

    assert set(outcomes(run).values()) == {"pulled"}
    assert "set “id_field” of the destination" in Record.objects.filter(run=run)[0].message
    assert "Records without a key, which are not tracked: 25 returned by the script (id_field)" in messages(
        run
    )


def test_dry_run_shows_what_was_pulled(world):
    run = execute(service_between(world), is_dry_run=True)

    assert outcomes(run) == {str(n): "pulled" for n in range(1, 26)}


def test_run_that_fails_tells_what_was_not_pushed(world):
    service = service_between(world, destination_options={"path": "/stock", "batch_size": 4}, max_attempts=1)
    world.before_response = lambda body: 500 if b'"id": 6}' in body else None

    run = execute(service)

    assert run.status == "failed"
    assert outcomes(run) == {str(n): "pushed" if n < 5 else "failed" for n in range(1, 11)}
    failed = Record.objects.get(run=run, key="10")
    assert "500" in failed.message
    assert line_of(failed).level == logging.ERROR


def test_record_without_a_response_may_have_been_accepted(world):
    both = make_connection(url=world.url, read_timeout=0.3)
    service = service_between(
        world,
        destination_connection=both,
        destination_options={"path": "/stock", "batch_size": 4},
        max_attempts=1,
    )

    def hang(body):
        if b'"id": 6}' in body:
            world.may_respond.clear()
            world.may_respond.wait(2)

    world.before_response = hang

    run = execute(service)

    assert run.status == "failed"
    found = outcomes(run)
    assert [found[str(n)] for n in (1, 4, 5, 8, 9, 10)] == ["pushed"] * 2 + ["pulled"] * 2 + ["failed"] * 2
    assert "may have accepted" in Record.objects.get(run=run, key="5").message


@pytest.mark.parametrize("path", ["out/{run}.json", "out/{run}-{page}.json"])
def test_records_in_files_are_pushed_when_the_file_is_complete(world, settings, tmp_path, path):
    settings.FILE_ROOTS = [tmp_path]
    drop = make_connection(kind="file", url=f"file://{tmp_path}")
    service = service_between(
        world, destination_connection=drop, destination_options={"path": path, "format": "json"}
    )

    run = execute(service)

    assert outcomes(run) == {str(n): "pushed" for n in range(1, 26)}
    assert {record.page for record in Record.objects.filter(run=run)} == {1, 2, 3}


def test_strange_keys_are_text_or_counted(world):
    long = "x" * 10_000
    world.records = [
        *({"id": value} for value in (1, "1", "a\0b", "50%", "a_b", "a*", "tab\tline\n", "back\\slash", 2.5)),
        *({"id": value} for value in (None, "", [], {"a": 1}, True)),
        *({"id": long}, {"id": f"{long}y"}, {"name": "no id"}, "no object"),
    ]
    service = service_between(
        world, source_options={**service_between(world).source_options, "page_size": 100}
    )

    run = execute(service)

    found = outcomes(run)
    long_keys = [key for key in found if key.startswith("x")]
    assert set(found) - set(long_keys) == {
        *("1", "a␀b", "50%", "a_b", "a*", "tab␉line␊", "back\\slash", "2.5")
    }
    assert [len(key) for key in long_keys] == [200, 200]
    assert set(found.values()) == {"pushed"}
    assert "Records without a key, which are not tracked: 7 pulled (id_field)" in messages(run)


def test_of_several_outcomes_of_a_key_the_worst_counts(world):
    world.records = [{"id": 1, "n": 1}, {"id": 1, "n": 2}, {"id": 2, "n": 3}] + [{"id": 1, "n": 4}] * 20
    world.refused = [b'"n": 2}']
    service = service_between(world, destination_options={"path": "/stock", "batch_size": 1})

    run = execute(service)

    assert outcomes(run) == {"1": "refused", "2": "pushed"}


def test_untracked_service_stores_no_records(world):
    run = execute(service_between(world, track_records=False))

    assert (outcomes(run), run.has_records, run.pushed_count) == ({}, False, 25)


def test_key_is_a_jmespath(world):
    world.records = [{"order": {"number": n}} for n in range(3)]
    options = {**service_between(world).source_options, "id_field": "order.number"}

    run = execute(service_between(world, source_options=options))

    assert outcomes(run) == {str(n): "pushed" for n in range(3)}


def test_secret_in_a_refusal_is_masked(world):
    both = make_connection(url=world.url, auth="bearer", secret="unknown sku")
    world.refused = [b'"id": 1}']
    service = service_between(
        world, destination_connection=both, destination_options={"path": "/stock", "batch_size": 1}
    )

    run = execute(service)

    assert Record.objects.get(run=run, key="1").message == "422 ••••"


def test_unchanged_records_are_skipped(world):
    service = service_between(
        world, destination_options={"path": "/stock", "batch_size": 1, "skip_unchanged": True}
    )
    world.refused = [b'"id": 3}']
    execute(service)
    world.records[1] = {"id": 2, "changed": True}
    world.refused = []
    world.received.clear()

    run = execute(service)

    assert [json.loads(body)["id"] for body in world.received] == [2, 3]
    expected = {str(n): "pushed" if n in (2, 3) else "skipped" for n in range(1, 26)}
    assert outcomes(run) == expected
    assert (run.pulled_count, run.pushed_count) == (25, 2)
    assert "Page 2: 10 of 10 records are unchanged and skipped" in messages(run)


def test_records_of_deleted_runs_and_old_records_are_deleted(world):
    service = service_between(world, record_retention_days=1)
    old, held, young = (execute(service) for _ in range(3))
    Run.objects.filter(pk__in=[old.pk, held.pk]).update(finished_at="2020-01-01T00:00Z")
    Run.objects.filter(pk=held.pk).update(held_until="2999-01-01T00:00Z", hold_reason="audit")

    call_command("prune_records")

    assert [len(outcomes(run)) for run in (old, held, young)] == [0, 25, 25]
    old.refresh_from_db()
    assert not old.has_records

    Run.objects.filter(pk=young.pk).update(finished_at="2020-01-01T00:00Z", started_at="2020-01-01T00:00Z")
    call_command("prune_logs")

    assert (Run.objects.filter(pk=young.pk).exists(), outcomes(young)) == (False, {})
