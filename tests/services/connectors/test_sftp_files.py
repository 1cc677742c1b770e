"""Files on a real SFTP server."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from apps.services.connectors.base import ConnectorError
from apps.services.models import HostKey
from tests.services.transfers import connection_to, pull, push
from tests.sftp import PASSWORD, USER, sftp_server

# Host keys are in the database.
pytestmark = pytest.mark.django_db
RECORDS = [{"id": number, "name": f"Käse {number}"} for number in range(1, 6)]


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    with sftp_server(tmp_path) as port:
        yield port


def test_files_are_written_to_and_read_from_sftp(port: int, tmp_path: Path) -> None:
    connection = connection_to(
        f"sftp://127.0.0.1:{port}/drop", auth="basic", auth_username=USER, secret=PASSWORD
    )

    push(connection, {"path": "out/{run}-{page}.ndjson", "format": "ndjson"}, [RECORDS[:3], RECORDS[3:]])
    pages = pull(connection, {"path": "out/*.ndjson", "format": "ndjson", "page_size": 2})

    assert [record for page in pages for record in page.records] == RECORDS
    assert sorted(path.name for path in tmp_path.rglob("*.*")) == ["7-1.ndjson", "7-2.ndjson"]


def test_changed_host_key_is_rejected_before_authentication(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("[]")
    authentication = {"auth": "basic", "auth_username": USER, "secret": PASSWORD}
    with sftp_server(tmp_path) as port:
        for _time in range(2):
            pull(
                connection_to(f"sftp://127.0.0.1:{port}/", **authentication),
                {"path": "*.json", "format": "json"},
            )
    assert HostKey.objects.get().host == f"[127.0.0.1]:{port}"

    usernames: list[str] = []
    with sftp_server(tmp_path, usernames=usernames) as other:
        HostKey.objects.update(host=f"[127.0.0.1]:{other}")
        with pytest.raises(ConnectorError, match=r"host key .* has changed"):
            pull(
                connection_to(f"sftp://127.0.0.1:{other}/", **authentication),
                {"path": "*.json", "format": "json"},
            )
    assert usernames == []


def test_wrong_password_is_reported(port: int) -> None:
    connection = connection_to(f"sftp://127.0.0.1:{port}/", auth="basic", auth_username=USER, secret="wrong")

    with pytest.raises(ConnectorError, match=r"Connection .* cannot be opened: Authentication failed"):
        pull(connection, {"path": "*.json", "format": "json"})


def test_silent_sftp_server_is_limited_by_read_timeout(
    tmp_path: Path,
) -> None:
    (tmp_path / "a.json").write_text("[]")
    may_read = threading.Event()
    with sftp_server(tmp_path, may_read=may_read) as port:
        connection = connection_to(
            f"sftp://127.0.0.1:{port}/", auth="basic", auth_username=USER, secret=PASSWORD, read_timeout=1
        )

        with pytest.raises(ConnectorError, match=r"a\.json cannot be opened: TimeoutError"):
            pull(connection, {"path": "*.json", "format": "json"})


def test_existing_file_is_replaced_on_a_server_without_posix_rename(tmp_path: Path) -> None:
    with sftp_server(tmp_path, replaces=False) as port:
        connection = connection_to(
            f"sftp://127.0.0.1:{port}/drop", auth="basic", auth_username=USER, secret=PASSWORD
        )

        for number in (1, 2):
            push(connection, {"path": "a.json", "format": "json"}, [[{"id": number}]])
        [page] = pull(connection, {"path": "*.json", "format": "json"})

    assert page.records == [{"id": 2}]
    assert [path.name for path in (tmp_path / "drop").iterdir()] == ["a.json"]
