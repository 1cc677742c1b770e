"""Compressed files: gzip, zip and zstd, read and written; damaged files and bombs."""

import bz2
import gzip
import json
import tracemalloc
import zipfile
from collections import deque
from io import BytesIO
from pathlib import Path

import fsspec
import pytest
import zstandard
from pytest_django import Settings

from apps.services.connectors.base import ConnectorError
from apps.services.connectors.endpoints import open_destination, open_source
from apps.services.models import Service
from tests.services.transfers import bytes_of, connection_to, make_context, pull, push

MIB = 1024 * 1024
CSV = "sku;name\n1;Käse\n".encode()
RECORDS = [{"sku": "1", "name": "Käse"}]


@pytest.fixture
def root(tmp_path: Path, settings: Settings) -> Path:
    settings.FILE_ROOTS = [tmp_path]
    return tmp_path


def zipped(*members: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return file.getvalue()


COMPRESSED = {
    "gz": gzip.compress(CSV[:5]) + gzip.compress(CSV[5:]),
    "zip": zipped(("a.csv", CSV)),
    "zst": zstandard.compress(CSV[:5]) + zstandard.compress(CSV[5:]),
}


def pull_file(root: Path, name: str, content: bytes, **options):
    (root / name).write_bytes(content)
    return pull(connection_to(f"file://{root}"), {"path": name, **options})


def records(pages) -> list:
    return [record for page in pages for record in page.records]


@pytest.mark.parametrize(
    ("suffix", "content_type"),
    [("gz", "application/gzip"), ("zip", "application/zip"), ("zst", "application/zstd")],
)
def test_compression_is_known_by_the_suffix(root, suffix, content_type):
    [page] = pull_file(root, f"a.csv.{suffix}", COMPRESSED[suffix])

    assert page.records == RECORDS
    assert (page.body.content_type, page.body.extension) == (content_type, f".csv.{suffix}")
    assert bytes_of(page.body) == COMPRESSED[suffix]


@pytest.mark.parametrize(("suffix", "option"), [("gz", "gzip"), ("zip", "zip"), ("zst", "zstd")])
def test_compression_is_known_by_the_option(root, suffix, option):
    [page] = pull_file(root, "a.dat", COMPRESSED[suffix], format="csv", compression=option)

    assert (page.records, page.body.extension) == (RECORDS, f".csv.{suffix}")


def test_compression_none_reads_the_file_as_it_is(root):
    [page] = pull_file(root, "a.csv.gz", CSV, compression="none")

    assert (page.records, page.body.extension) == (RECORDS, ".csv")


def test_each_member_of_a_zip_archive_is_a_file(root):
    members = [("b.csv", CSV), ("folder/", b""), ("folder/a.csv", b"id\n1\n2\n"), ("empty.csv", b"")]

    pages = pull_file(root, "a.csv.zip", zipped(*members, ("__MACOSX/._b.csv", b"\0")), page_size=1)

    assert [(page.number, page.origin, page.records) for page in pages] == [
        (1, "a.csv.zip: b.csv, records 1–1", RECORDS),
        (2, "a.csv.zip: folder/a.csv, records 1–1", [{"id": "1"}]),
        (3, "a.csv.zip: folder/a.csv, records 2–2", [{"id": "2"}]),
    ]
    assert [page.body is not None for page in pages] == [True, False, False]


def test_archive_without_records_is_one_page(root):
    [page] = pull_file(root, "a.csv.zip", zipped())

    assert (page.records, page.origin) == ([], "a.csv.zip, no records")
    assert bytes_of(page.body) == zipped()


def test_member_outside_of_its_archive_is_only_a_name(root):
    pages = pull_file(root, "a.csv.zip", zipped(("../../etc/passwd", CSV), ("/etc/shadow", CSV)))

    assert [page.origin for page in pages] == [
        "a.csv.zip: ../../etc/passwd, records 1–1",
        "a.csv.zip: /etc/shadow, records 1–1",
    ]
    assert [path.name for path in root.rglob("*")] == ["a.csv.zip"]


def test_compressed_files_of_other_formats_are_read(root):
    assert records(pull_file(root, "a.json.gz", gzip.compress(b'[{"id": 1}]'))) == [{"id": 1}]
    assert records(pull_file(root, "a.ndjson.zst", zstandard.compress(b'{"id": 1}\n'))) == [{"id": 1}]
    xml = zipped(("a.xml", b"<x><order><id>1</id></order></x>"))
    assert records(pull_file(root, "a.xml.zip", xml, xml={"record": "order"})) == [{"id": "1"}]


def test_zip_archive_in_another_filesystem_is_read():
    with fsspec.open("memory://compressed/a.csv.zip", "wb") as file:
        file.write(COMPRESSED["zip"])

    assert records(pull(connection_to("memory://compressed"), {"path": "a.csv.zip"})) == RECORDS


@pytest.mark.parametrize("suffix", ["gz", "zip", "zst"])
@pytest.mark.parametrize("damage", ["truncated", "changed", "not compressed", "empty"])
def test_damaged_compressed_file_is_reported(root, suffix, damage):
    content = {
        "gz": gzip.compress(CSV * 1000),
        "zip": zipped(("a.csv", CSV * 1000)),
        "zst": zstandard.ZstdCompressor(write_checksum=True).compress(CSV * 1000),
    }[suffix]
    middle = len(content) // 2
    damaged = {
        "truncated": content[:-5],
        "changed": content[: middle - 10] + bytes(20) + content[middle + 10 :],
        "not compressed": CSV,
        "empty": b"",
    }[damage]
    if damage == "empty" and suffix != "zip":
        assert records(pull_file(root, f"a.csv.{suffix}", damaged)) == []
        return

    with pytest.raises(
        ConnectorError, match=rf"a\.csv\.{suffix}.* cannot be decompressed: .*Set “compression”"
    ):
        pull_file(root, f"a.csv.{suffix}", damaged)


@pytest.mark.parametrize("suffix", ["gz", "zip", "zst"])
def test_compression_bomb_is_refused(root, settings, suffix):
    settings.MAX_FILE_BYTES = 4 * MIB
    content = b"id\n" + (b"1" * 500 + b"\n") * 40_000
    compress = {
        "gz": gzip.compress,
        "zst": zstandard.compress,
        "zip": lambda data: zipped(("a", data[:MIB]), ("b", data)),
    }

    (root / f"a.csv.{suffix}").write_bytes(compress[suffix](content))
    service = Service(
        slug="bomb",
        source_connection=connection_to(f"file://{root}"),
        source_options={"path": f"a.csv.{suffix}"},
    )

    tracemalloc.start()
    with (
        open_source(service, make_context()) as source,
        pytest.raises(
            ConnectorError, match=r"larger than 4 MiB when it is decompressed\. .*SYNCLOG_MAX_FILE_MIB"
        ),
    ):
        deque(source.pages(), maxlen=0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert peak < 12 * MIB


def test_zip_archive_with_a_password_is_reported(root):
    content = bytearray(zipped(("a.csv", CSV)))
    # The flag of encryption, in the local header and in the list of members.
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1

    with pytest.raises(ConnectorError, match=r"a.csv.zip: a.csv is protected by a password"):
        pull_file(root, "a.csv.zip", bytes(content))


def test_zip_archive_with_another_method_is_reported(root):
    with pytest.raises(ConnectorError, match=r"a.csv.zip: a.csv uses the compression method 12"):
        pull_file(root, "a.csv.zip", zipped(("a.csv", CSV), method=zipfile.ZIP_BZIP2))
    with pytest.raises(ConnectorError, match="cannot be decompressed"):
        pull_file(root, "b.csv.gz", bz2.compress(CSV))


@pytest.mark.parametrize(
    ("path", "compression"),
    [("7.csv.gz", "auto"), ("7.csv.zip", "auto"), ("7.csv.zst", "auto"), ("7.csv", "gzip")],
)
def test_compressed_file_is_written_and_read(root, path, compression):
    connection = connection_to(f"file://{root}")
    options = {"path": path.replace("7", "{run}"), "csv": {"delimiter": ";"}, "compression": compression}

    [delivery] = push(connection, options, [RECORDS, RECORDS])

    assert bytes_of(delivery.request) == (root / path).read_bytes()
    assert records(pull(connection, {"path": path, "compression": compression})) == RECORDS * 2


def test_written_zip_archive_has_one_member(root):
    connection = connection_to(f"file://{root}")

    push(connection, {"path": "out/a.json.zip"}, [[{"id": 1}]])
    push(connection, {"path": "out/b.zip", "format": "json"}, [[{"id": 1}]])

    for name, member in (("a.json.zip", "a.json"), ("b.zip", "b.json")):
        with zipfile.ZipFile(root / "out" / name) as archive:
            assert archive.namelist() == [member]
            assert json.loads(archive.read(member)) == [{"id": 1}]


def test_written_gzip_file_is_read_by_others(root):
    push(connection_to(f"file://{root}"), {"path": "a.ndjson.gz"}, [[{"id": 1}]])
    push(connection_to(f"file://{root}"), {"path": "a.ndjson.zst"}, [[{"id": 1}]])

    assert gzip.decompress((root / "a.ndjson.gz").read_bytes()) == b'{"id": 1}\n'
    assert (
        zstandard.ZstdDecompressor().stream_reader((root / "a.ndjson.zst").read_bytes()).read()
        == b'{"id": 1}\n'
    )


@pytest.mark.parametrize("suffix", ["gz", "zip", "zst"])
def test_failed_run_leaves_no_compressed_file(root, suffix):
    service = Service(
        slug="tested",
        destination_connection=connection_to(f"file://{root}"),
        destination_options={"path": f"a.json.{suffix}"},
    )

    def cancelled_run() -> None:
        with open_destination(service, make_context()) as destination:
            list(destination.push(1, RECORDS))
            raise RuntimeError("cancelled")

    with pytest.raises(RuntimeError, match="cancelled"):
        cancelled_run()

    assert list(root.iterdir()) == []


def test_compressed_file_is_written_to_another_filesystem():
    for suffix in ("gz", "zip", "zst"):
        push(connection_to("memory://written"), {"path": f"a.csv.{suffix}"}, [RECORDS])

        assert records(pull(connection_to("memory://written"), {"path": f"a.csv.{suffix}"})) == RECORDS
