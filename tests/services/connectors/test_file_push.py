"""Pushing to files: formats, names, and atomic replacement."""

import json
from pathlib import Path

import fsspec
import pytest
from pytest_django import Settings

from apps.services.connectors.base import ConnectorError
from apps.services.connectors.endpoints import open_destination
from apps.services.models import Service
from tests.services.transfers import bytes_of, connection_to, make_context, push

PAGES = [[{"id": 1, "name": "Käse"}, {"id": 2, "name": "=1+1"}], [{"id": 3, "name": None}]]


@pytest.fixture
def root(tmp_path: Path, settings: Settings) -> Path:
    """The only folder in which file connections may read and write."""
    root = tmp_path / "root"
    root.mkdir()
    settings.FILE_ROOTS = [root]
    return root


def files_in(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def test_page_placeholder_writes_one_file_per_page(root):
    deliveries = push(connection_to(f"file://{root}"), {"path": "out/{run}-{page}.ndjson"}, PAGES)

    assert files_in(root) == ["out/7-1.ndjson", "out/7-2.ndjson"]
    assert (root / "out/7-1.ndjson").read_text() == '{"id": 1, "name": "Käse"}\n{"id": 2, "name": "=1+1"}\n'
    assert [
        (delivery.page, delivery.batch, delivery.accepted, delivery.outcome) for delivery in deliveries
    ] == [
        (1, 1, 2, "out/7-1.ndjson written"),
        (2, 1, 1, "out/7-2.ndjson written"),
    ]
    assert bytes_of(deliveries[1].request) == (root / "out/7-2.ndjson").read_bytes()


def test_run_placeholder_writes_one_file_per_run(root):
    deliveries = push(connection_to(f"file://{root}"), {"path": "{run}.json"}, PAGES)

    assert json.loads((root / "7.json").read_text()) == PAGES[0] + PAGES[1]
    assert [(delivery.page, delivery.accepted) for delivery in deliveries] == [(2, 3)]


def test_csv_columns_are_the_fields_of_the_first_record(root):
    records = [{"id": 1, "name": "=1+1", "tags": ["a", "b"]}, {"id": 2.5, "name": 'x,"y"\n'}, {"tags": True}]

    push(connection_to(f"file://{root}"), {"path": "a.csv"}, [records])

    assert (root / "a.csv").read_text() == (
        'id,name,tags\n1,=1+1,"[""a"", ""b""]"\n2.5,"x,""y""\n",\n,,true\n'
    )


@pytest.mark.parametrize(
    ("records", "reason"),
    [
        ([{"a": 1}, {"a": 1, "b": 2}], r"a\.csv: record 2 has the fields b"),
        ([{"a": 1}, [1]], r"a\.csv: record 2 has no fields"),
        ([{"a": "\ud800"}], r"a\.csv: record 1 contains a lone surrogate"),
    ],
)
def test_record_without_csv_form_is_reported_and_writes_no_file(root, records, reason):
    with pytest.raises(ConnectorError, match=reason):
        push(connection_to(f"file://{root}"), {"path": "a.csv"}, [records])

    assert files_in(root) == []


def test_file_appears_only_when_complete(root):
    (root / "a.json").write_text("before")
    service = Service(
        slug="tested",
        destination_connection=connection_to(f"file://{root}"),
        destination_options={"path": "a.json"},
    )

    with open_destination(service, make_context()) as destination:
        list(destination.push(1, PAGES[0]))
        assert (root / "a.json").read_text() == "before"
        list(destination.finish())

    assert json.loads((root / "a.json").read_text()) == PAGES[0]
    assert files_in(root) == ["a.json"]


def test_failed_run_keeps_the_existing_file(root):
    (root / "a.json").write_text("before")
    service = Service(
        slug="tested",
        destination_connection=connection_to(f"file://{root}"),
        destination_options={"path": "a.json"},
    )

    def cancelled_run() -> None:
        with open_destination(service, make_context()) as destination:
            list(destination.push(1, PAGES[0]))
            raise RuntimeError("cancelled")

    with pytest.raises(RuntimeError, match="cancelled"):
        cancelled_run()

    assert (root / "a.json").read_text() == "before"
    assert files_in(root) == ["a.json"]


def test_empty_pages_write_no_file(root):
    assert push(connection_to(f"file://{root}"), {"path": "a.json"}, [[]]) == []
    assert files_in(root) == []


@pytest.mark.parametrize(
    "path", ["../a.json", "/a.json", "x/../../a.json", "{run}/../../../a.json", "%2e%2e/a.json"]
)
def test_path_outside_the_connection_is_rejected(root, path):
    with pytest.raises(ConnectorError, match="The destination of service tested is invalid: path"):
        push(connection_to(f"file://{root}"), {"path": path}, PAGES)

    assert files_in(root.parent) == []


def test_symlink_out_of_the_roots_is_rejected(root, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (root / "out").symlink_to(outside)

    with pytest.raises(ConnectorError, match="outside the folders in SYNCLOG_FILE_ROOTS"):
        push(connection_to(f"file://{root}"), {"path": "out/deep/a.json"}, PAGES)

    assert list(outside.iterdir()) == []


def test_target_symlink_out_of_the_roots_is_rejected(root, tmp_path):
    (tmp_path / "target.json").write_text("before")
    (root / "a.json").symlink_to(tmp_path / "target.json")

    with pytest.raises(ConnectorError, match="outside the folders in SYNCLOG_FILE_ROOTS"):
        push(connection_to(f"file://{root}"), {"path": "a.json"}, PAGES)

    assert (tmp_path / "target.json").read_text() == "before"


def test_unwritable_folder_is_reported(root):
    (root / "out").write_text("not a folder")

    with pytest.raises(ConnectorError, match=r"out/a\.json cannot be written"):
        push(connection_to(f"file://{root}"), {"path": "out/a.json"}, PAGES)


def test_other_fsspec_filesystem_is_supported():
    deliveries = push(connection_to("memory://store"), {"path": "out/{run}.json"}, PAGES)

    with fsspec.open("memory://store/out/7.json", "rb") as file:
        assert json.loads(file.read()) == PAGES[0] + PAGES[1]
    assert fsspec.filesystem("memory").ls("/store/out", detail=False) == ["/store/out/7.json"]
    assert json.loads(bytes_of(deliveries[0].request)) == PAGES[0] + PAGES[1]


def test_failed_run_writes_nothing_to_a_remote_filesystem():
    with pytest.raises(ConnectorError, match="record 2 has the fields"):
        push(connection_to("memory://failed"), {"path": "out/a.csv"}, [[{"a": 1}, {"b": 1}]])

    assert fsspec.filesystem("memory").ls("/failed/out", detail=False) == []
