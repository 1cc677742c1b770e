"""Files on a real S3 server."""

import pytest

from tests.servers import S3Server
from tests.services.transfers import connection_to, pull, push


@pytest.fixture
def bucket(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", s3_server.url)
    monkeypatch.setenv("AWS_DEFAULT_REGION", s3_server.region)
    return s3_server.create_bucket()


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
