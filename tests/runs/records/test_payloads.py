"""Payloads of records: the stored files that contain a record."""

import json

import pytest

from apps.runs.execution.executor import execute_run
from apps.runs.execution.queue import queue_run
from apps.runs.models import Record, Run
from apps.runs.payloads.reading import open_payload
from apps.runs.records.payloads import load_runs, payloads_of
from tests.factories import make_connection
from tests.systems import service_between, systems

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("own_folders")]
ALL = ("pull", "script", "push")


@pytest.fixture
def world():
    with systems([{"id": number} for number in range(1, 26)]) as world:
        yield world


def execute(service, **arguments):
    run = execute_run(queue_run(service, trigger=Run.Trigger.MANUAL, **arguments).pk, worker="test")
    assert run is not None
    return run


def records_of(*runs):
    return load_runs(Record.objects.filter(run__in=runs))


def names_by_key(run):
    records = records_of(run)
    found = payloads_of(records)
    return {record.key: [payload.name for payload in found[record.pk]] for record in records}


def test_each_record_is_in_its_page_and_its_batch(world, django_assert_num_queries):
    script = "def transform(records):\n    return [r for r in records if r['id'] != 13]\n"
    service = service_between(world, script=script, destination_options={"path": "/stock", "batch_size": 4})
    first, second = execute(service, store=ALL), execute(service, store=ALL)
    records = records_of(first, second)

    with django_assert_num_queries(1):
        found = payloads_of(records)

    assert len(found) == 50
    for record in records:
        payloads = found[record.pk]
        assert {payload.run_id for payload in payloads} == {record.run_id}
        assert {payload.state for payload in payloads} == {"stored"}
        for payload in payloads:
            if "response" not in payload.name:
                with open_payload(payload) as stream:
                    assert int(record.key) in [order["id"] for order in json.load(stream)]
    assert names_by_key(first)["17"] == [
        "pull-page-00002.json",
        "script-page-00002-input.json",
        "script-page-00002-output.json",
        "push-page-00002-batch-00002-request.json",
        "push-page-00002-batch-00002-response.json",
    ]
    assert names_by_key(first)["13"] == ["pull-page-00002.json", "script-page-00002-input.json"]


@pytest.mark.parametrize("path", ["out/{run}.json", "out/{run}-{page}.json"])
def test_file_of_several_pages_has_one_payload(world, settings, tmp_path, path):
    settings.FILE_ROOTS = [tmp_path]
    (tmp_path / "in").mkdir()
    for number, name in enumerate("abc"):
        (tmp_path / f"in/{name}.json").write_text(
            json.dumps([{"id": number * 10 + index} for index in range(5)])
        )
    drop = make_connection(kind="file", url=f"file://{tmp_path}")
    service = service_between(
        world,
        source_connection=drop,
        source_options={"path": "in/*.json", "format": "json", "page_size": 2},
        destination_connection=drop,
        destination_options={"path": path, "format": "json"},
    )

    names = names_by_key(execute(service, store=ALL))

    # Files a, b and c begin at pages 1, 4 and 7.
    pushed = 9 if path == "out/{run}.json" else 6
    assert names["14"] == ["pull-page-00004.json", f"push-page-{pushed:05d}-batch-00001-request.json"]
    assert [names[str(number)][0][10:15] for number in (0, 4, 10, 20, 24)] == [
        *("00001", "00001", "00004", "00007", "00007")
    ]


def test_runs_that_store_nothing_have_no_payloads(world):
    run = execute(service_between(world))

    assert set(map(tuple, names_by_key(run).values())) == {()}
    assert payloads_of([]) == {}
