"""The services of the handbook's page about files, run on a local drop folder."""

import gzip
import json
import os
import time

import pytest

from apps.runs.execution.executor import execute_run
from apps.runs.execution.queue import queue_run
from apps.runs.models import Run
from apps.services.definition.loading import load_services
from apps.services.models import Connection, Service
from tests.documents import code_blocks
from tests.services.transfers import connection_to, pull

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("own_folders")]
FILES = {
    "in/a.json": b'[{"id": 1, "price": 19.90}, {"id": 2}]',
    "in/b.csv": b"id,name\n3,tea\n",
    "prices/p.csv.gz": gzip.compress("list of prices\nid;name;price\n4;Käse;1,50\n".encode("cp1252")),
    "orders/o.xml": b'<all><order id="5"><item>a</item></order><order id="6"/></all>',
}
EXPECTED = {
    "nightly-files": ("out/{run}-1.ndjson", ['{"id": 1, "price": 19.90}', '{"id": 2}']),
    "prices": ("out/{run}.csv", ["id;name;price", "4;Käse;1,50"]),
    "deliveries": ("out/{run}.json", ['"id": "3"', '"name": "tea"']),
    "orders": ("out/{run}.json", ['"item": ["a"]']),
}


def execute(service):
    run = execute_run(queue_run(service, trigger=Run.Trigger.MANUAL).pk, worker="test")
    assert run is not None
    return run


def test_every_service_of_the_page_works(settings, tmp_path):
    settings.FILE_ROOTS = [tmp_path]
    for name, content in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        # Older than min_age_seconds.
        os.utime(path, (time.time() - 3600,) * 2)
    (tmp_path / "out").mkdir()
    (tmp_path / "done").mkdir()
    for name, text in code_blocks("yaml"):
        if name.startswith("files.md"):
            load_services(text, filename=name)
    Connection.objects.update(url=f"file://{tmp_path}")

    assert set(Service.objects.values_list("slug", flat=True)) == set(EXPECTED)
    for slug, (target, parts) in EXPECTED.items():
        run = execute(Service.objects.get(slug=slug))
        assert (run.status, run.error) == ("succeeded", ""), slug
        written = (tmp_path / target.replace("{run}", str(run.pk))).read_text(encoding="utf-8")
        assert [part for part in parts if part not in written] == [], written
    assert (tmp_path / "done" / "b.csv").exists()
    assert execute(Service.objects.get(slug="deliveries")).pulled_count == 0


def test_xml_example_becomes_the_record_of_the_page(settings, tmp_path):
    settings.FILE_ROOTS = [tmp_path]
    [example], [record] = (
        [text for name, text in code_blocks(language) if name.startswith("files.md")]
        for language in ("xml", "json")
    )
    (tmp_path / "orders.xml").write_text(example)

    options = {"path": "*.xml", "xml": {"record": "order", "lists": ["item"]}}
    [page] = pull(connection_to(f"file://{tmp_path}"), options)

    assert page.records == [json.loads(record)]
