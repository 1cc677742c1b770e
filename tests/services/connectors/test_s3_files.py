"""Files on a real S3 server."""

from itertools import batched
from secrets import token_hex

import pytest

from apps.services.connectors.base import ConnectorError
from apps.services.connectors.files.connector import folder_of
from tests.servers import S3Server
from tests.services.transfers import connection_to, pull, push


@pytest.fixture
def bucket(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", s3_server.url)
    monkeypatch.setenv("AWS_DEFAULT_REGION", s3_server.region)
    return s3_server.create_bucket()


@pytest.fixture
def connection(bucket, s3_server):
    """A connection whose address looks like a pattern."""
    return connection_to(
        f"s3://{bucket}/drop[1]",
        auth="basic",
        auth_username=s3_server.access_key,
        secret=s3_server.secret_key,
    )


def test_brackets_in_the_address_are_no_wildcards(connection, bucket, s3_server):
    push(connection, {"path": "{run}.json"}, [[{"id": 1}]])
    pages = pull(connection, {"path": "*.json"})

    assert [page.records for page in pages] == [[{"id": 1}]]
    keys = [item["Key"] for item in s3_server.client().list_objects_v2(Bucket=bucket)["Contents"]]
    assert keys == ["drop[1]/7.json"]


def test_wrong_access_key_is_reported(connection):
    connection.auth_username = "unknown"

    with pytest.raises(ConnectorError, match=r"^The files \*\.json cannot be listed: .*access key.*[^.]\.$"):
        pull(connection, {"path": "*.json"})


def test_discarded_file_is_deleted(connection, bucket, s3_server):
    pending = folder_of(connection).create("a.json")
    pending.stream.write(b"[]")
    pending.discard()

    assert s3_server.client().list_objects_v2(Bucket=bucket)["KeyCount"] == 0


def test_archive_is_written_and_read_from_its_end(connection):
    records = [{"id": number, "text": token_hex(100)} for number in range(5000)]

    push(connection, {"path": "out.ndjson.zip"}, list(batched(records, 1000)))
    pages = pull(connection, {"path": "*.ndjson.zip"})

    assert [record for page in pages for record in page.records] == records


def test_files_are_written_to_and_read_from_s3(bucket, s3_server):
    connection = connection_to(
        f"s3://{bucket}", auth="basic", auth_username=s3_server.access_key, secret=s3_server.secret_key
    )
    records = [{"id": number, "name": f"Käse {number}"} for number in range(1, 6)]

    push(connection, {"path": "out/{run}-{page}.ndjson", "format": "ndjson"}, [records[:3], records[3:]])
    pages = pull(connection, {"path": "out/*.ndjson", "format": "ndjson", "page_size": 2})

    assert [record for page in pages for record in page.records] == records
    keys = [item["Key"] for item in s3_server.client().list_objects_v2(Bucket=bucket)["Contents"]]
    assert keys == ["out/7-1.ndjson", "out/7-2.ndjson"]
