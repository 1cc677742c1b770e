"""Pulling from files: formats, wildcards, invalid contents, and the restriction to the roots."""

import errno
import json
import logging
import os
import tracemalloc
from pathlib import Path

import fsspec
import pytest
from pytest_django import Settings

from apps.services.connectors.base import ConnectorError
from apps.services.connectors.endpoints import open_source
from apps.services.models import Service
from tests.services.transfers import bytes_of, connection_to, make_context, pull

MIB = 1024 * 1024


@pytest.fixture
def root(tmp_path: Path, settings: Settings) -> Path:
    """The only folder in which file connections may read and write."""
    root = tmp_path / "root"
    root.mkdir()
    settings.FILE_ROOTS = [root]
    return root


def records_of(root: Path, path: str, **options):
    pages = pull(connection_to(f"file://{root}"), {"path": path, **options})
    return [record for page in pages for record in page.records]


def test_files_are_pulled_in_order_and_in_pages(root):
    (root / "in").mkdir()
    (root / "in" / "b.json").write_text(json.dumps([{"id": 4}]))
    (root / "in" / "a.json").write_text(json.dumps([{"id": 1}, {"id": 2}, {"id": 3}]))
    (root / "in" / "c.json").write_text("[]")
    (root / "in" / ".a.json.0123.part").write_text("incomplete file")

    pages = pull(connection_to(f"file://{root}"), {"path": "in/*.json", "page_size": 2})

    assert [(page.number, page.records, page.origin) for page in pages] == [
        (1, [{"id": 1}, {"id": 2}], "in/a.json, records 1–2"),
        (2, [{"id": 3}], "in/a.json, records 3–3"),
        (3, [{"id": 4}], "in/b.json, records 1–1"),
        (4, [], "in/c.json, no records"),
    ]
    assert [page.body is not None for page in pages] == [True, False, True, True]
    assert bytes_of(pages[0].body) == (root / "in" / "a.json").read_bytes()
    assert (pages[0].body.content_type, pages[0].body.extension) == ("application/json", ".json")


def test_page_size_of_run_overrides_option(root):
    (root / "a.ndjson").write_text('{"id": 1}\n\n{"id": 2}\n{"id": 3}')

    pages = pull(connection_to(f"file://{root}"), {"path": "a.ndjson"}, make_context(page_size=1))

    assert [page.records for page in pages] == [[{"id": 1}], [{"id": 2}], [{"id": 3}]]


def test_missing_files_log_a_warning(root, caplog):
    with caplog.at_level(logging.WARNING):
        assert records_of(root, "in/*.csv") == []

    assert "No file matches in/*.csv" in caplog.text


@pytest.fixture
def closed(root, monkeypatch):
    """A folder that cannot be listed, as for a user without permission; root has it."""
    folder = root / "in" / "closed"
    folder.mkdir(parents=True)
    (folder / "a.csv").write_text("id\n1\n")
    (root / "in" / "b.csv").write_text("id\n2\n")
    scandir = os.scandir

    def refuse(path="."):
        if str(path).rstrip("/") == str(folder):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    return folder


@pytest.mark.parametrize("path", ["in/closed/*.csv", "in/*/*.csv"])
def test_folder_that_cannot_be_listed_is_reported(root, closed, path):
    with pytest.raises(ConnectorError, match=rf"^{closed} cannot be listed: Permission denied\.$"):
        records_of(root, path)


@pytest.mark.parametrize("path", ["**/*.csv", "in/**"])
def test_folder_that_cannot_be_listed_is_left_out_of_a_recursive_search(root, closed, path, caplog):
    assert records_of(root, path, format="csv") == [{"id": "2"}]
    assert caplog.messages == [f"{closed} left out: it cannot be listed: Permission denied"]


def test_json_records_are_selected_by_expression(root):
    (root / "a.json").write_text('\ufeff {"data": {"rows": [1, 2]}}')

    assert records_of(root, "a.json", records="data.rows") == [1, 2]


def test_csv_supports_quotes_line_breaks_and_byte_order_mark(root):
    (root / "a.csv").write_bytes(b'\xef\xbb\xbfsku,name\r\n1,"K\xc3\xa4se, ""alt""\nreif"\r\n\r\n2,\r\n')

    assert records_of(root, "a.csv") == [{"sku": "1", "name": 'Käse, "alt"\nreif'}, {"sku": "2", "name": ""}]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"a,b\n1,2\n3\n", r"bad\.csv, line 3 is invalid CSV: it has 1 columns, and the header has 2"),
        (b'a,b\n1,"x\ny"\n3,4,5\n', r"bad\.csv, line 4 is invalid CSV: it has 3 columns"),
        (b'a,b\n1,2\n3,"4', r"bad\.csv, line 3 is invalid CSV: unexpected end of data"),
        (b'a,b\n1,"2"x\n', r"bad\.csv, line 2 is invalid CSV: ',' expected after '\"'"),
        (b"a,b\n1,\x002\n", r"bad\.csv, line 2 is invalid CSV: it contains a NUL"),
        (b"a,b\n1,2\n1,\xff\n", r"bad\.csv, line 3 is invalid CSV: byte 0xff is not UTF-8"),
        (b"a,a\n1,2\n", r"bad\.csv, line 1 is invalid CSV: a is repeated"),
        (b"a,,b\n1,2,3\n", r"bad\.csv, line 1 is invalid CSV: every column must have a name"),
    ],
)
def test_invalid_row_error_names_file_and_line(root, content, reason):
    (root / "bad.csv").write_bytes(content)

    with pytest.raises(ConnectorError, match=reason):
        records_of(root, "bad.csv")


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("bad.json", b'[{"id": 1}, {"id": ', r"bad\.json is not JSON"),
        ("bad.json", b"[1, 2] 3", r"bad\.json is not JSON: 3 follows its end at character 8"),
        ("bad.json", b"[1, 2", r"bad\.json is not JSON: the end instead of \] at character 6"),
        ("bad.json", b"[1 2]", r"bad\.json is not JSON: 2 instead of \] at character 4"),
        ("bad.json", b"[1, NaN]", r"bad\.json is not JSON: NaN is not JSON"),
        ("bad.json", b'["\xff"]', r"bad\.json is not JSON: it contains bytes that are not valid utf-8"),
        ("bad.json", b"", r"bad\.json is not JSON"),
        (
            "bad.json",
            b'{"item": [1]}',
            r"“@” matches no list in bad\.json: it matches an object with the keys item",
        ),
        ("bad.ndjson", b'{"id": 1}\n{"id": \n', r"bad\.ndjson, line 2 is not JSON"),
        ("bad.ndjson", b"1\n\xff\n", r"bad\.ndjson, line 2 is not JSON: byte 0 is not valid utf-8"),
    ],
)
def test_invalid_file_error_names_the_file(root, name, content, reason):
    (root / name).write_bytes(content)

    with pytest.raises(ConnectorError, match=reason):
        records_of(root, name)


@pytest.mark.parametrize("name", ["large.json", "large.ndjson", "large.csv"])
def test_record_beyond_memory_limit_is_rejected(root, settings, name):
    settings.MAX_RESPONSE_BYTES = MIB
    head = {"large.json": b'["', "large.ndjson": b'"', "large.csv": b'a\n"'}[name]
    (root / name).write_bytes(head + b"x" * (4 * MIB) + b'"' + b"]" * (name == "large.json"))

    with pytest.raises(ConnectorError, match=r"larger than 1 MiB.*SYNCLOG_MAX_RESPONSE_MIB"):
        records_of(root, name)


def test_unstreamable_document_is_limited_in_size(root, settings):
    settings.MAX_RESPONSE_BYTES = MIB
    (root / "large.json").write_bytes(b'{"data": [' + b"1," * MIB + b"1]}")

    with pytest.raises(ConnectorError, match=r"larger than 1 MiB"):
        records_of(root, "large.json", records="data")


@pytest.mark.parametrize("format_", ["json", "ndjson", "csv"])
def test_memory_use_stays_constant_for_a_large_file(root, format_):
    line = {"json": b'{"id": 1, "text": "' + b"x" * 500 + b'"}', "csv": b"1," + b"x" * 500}
    line["ndjson"] = line["json"]
    lead, between = {"json": (b"[\n", b",\n"), "ndjson": (b"", b"\n"), "csv": (b"id,text\n", b"\n")}[format_]
    with (root / "large").open("wb") as file:
        file.write(lead + line[format_])
        for _ in range(15_000):
            file.write(between + line[format_])
        file.write(b"\n]" if format_ == "json" else b"\n")
    service = Service(
        slug="large",
        source_connection=connection_to(f"file://{root}"),
        source_options={"path": "large", "format": format_, "page_size": 500},
    )

    tracemalloc.start()
    with open_source(service, make_context()) as source:
        pulled = sum(len(page.records) for page in source.pages())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert pulled == 15_001
    assert peak < 4 * MIB


@pytest.mark.parametrize("name", ["", "root2"])
def test_folder_outside_the_roots_is_rejected(root, tmp_path, name):
    with pytest.raises(ConnectorError, match="outside the folders in SYNCLOG_FILE_ROOTS"):
        pull(connection_to(f"file://{tmp_path / name}"), {"path": "secret.json"})


@pytest.mark.parametrize(
    "path",
    [
        "../secret.json",
        "a/../../secret.json",
        "..%2fsecret.json",
        "/etc/passwd",
        "~/x.json",
        "file:///x.json",
    ],
)
def test_path_outside_the_connection_is_rejected(root, path):
    with pytest.raises(ConnectorError, match="The source of service tested is invalid: path"):
        records_of(root, path, format="json")


def test_symlink_out_of_the_roots_is_rejected(root, tmp_path):
    (tmp_path / "secret.json").write_text("[1]")
    (root / "a.json").symlink_to(tmp_path / "secret.json")

    with pytest.raises(ConnectorError, match=r"a\.json is outside the folders in SYNCLOG_FILE_ROOTS"):
        records_of(root, "*.json")


def test_symlink_within_the_roots_is_followed(root):
    (root / "real.txt").write_text("[1]")
    (root / "a.json").symlink_to(root / "real.txt")

    assert records_of(root, "*.json") == [1]


def test_folders_and_pipes_are_ignored(root):
    (root / "folder.json").mkdir()
    os.mkfifo(root / "pipe.json")

    assert records_of(root, "*.json") == []


@pytest.mark.parametrize(
    "name", ["secret-key", "spool/1.log", "payloads/x", "broker/queue/x", "beat-schedule"]
)
def test_files_of_synclog_are_rejected(root, settings, name):
    settings.DATA_DIR = root
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text("[1]")

    with pytest.raises(ConnectorError, match="belongs to Synclog itself"):
        records_of(root, name, format="json")


@pytest.mark.parametrize(
    "url",
    [
        "simplecache::file:///etc",
        "local:///etc",
        "zip://x::file:///etc/x.zip",
        "filecache::http://169.254.169.254/",
        "http+x://a",
        "git:///etc",
        "github://a:b@/",
        "reference://x",
        "dask://x",
        "file://host/etc",
        "memory://a::file:///etc",
        "/etc",
        "FILE:///etc",
    ],
)
def test_other_filesystems_are_rejected(root, url):
    connection = connection_to(url)
    connection.kind = "file"

    with pytest.raises(ConnectorError):
        pull(connection, {"path": "passwd", "format": "csv"})


def test_sftp_to_metadata_address_is_rejected():
    with pytest.raises(ConnectorError, match="link-local or cloud metadata"):
        pull(connection_to("sftp://169.254.169.254/x"), {"path": "a.json"})


@pytest.mark.parametrize(
    ("url", "package"), [("gs://bucket/in", "gcsfs"), ("smb://127.0.0.1/in", "smbprotocol")]
)
def test_missing_package_error_names_the_package(url, package):
    with pytest.raises(ConnectorError, match=f"pip install {package}"):
        pull(connection_to(url), {"path": "a.json"})


def test_other_fsspec_filesystem_is_supported():
    with fsspec.open("memory://drop/in/a.csv", "wb") as file:
        file.write(b"id\n1\n")

    pages = pull(connection_to("memory://drop"), {"path": "in/*.csv"})

    assert [(page.records, page.origin) for page in pages] == [([{"id": "1"}], "in/a.csv, records 1–1")]
    assert bytes_of(pages[0].body) == b"id\n1\n"


def test_unreachable_filesystem_is_reported():
    with pytest.raises(ConnectorError, match="Connection other-system cannot be opened"):
        pull(connection_to("ftp://127.0.0.1:9/x"), {"path": "a.json"})
