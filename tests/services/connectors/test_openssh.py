"""Private keys, host keys and lost connections, against a real OpenSSH server."""

import errno
import json
import logging
import os
import threading
from collections.abc import Iterator
from io import BufferedWriter
from itertools import batched
from pathlib import Path
from secrets import token_hex
from typing import Any, cast

import paramiko
import pytest

from apps.services.connectors.base import ConnectorError
from apps.services.connectors.endpoints import open_destination
from apps.services.connectors.files.connector import folder_of
from apps.services.connectors.files.host_keys import RememberedHostKeys
from apps.services.models import Connection, HostKey, Service
from tests.faults.proxy import Proxy, proxy
from tests.openssh import USER, OpenSSHServer, create_key
from tests.services.transfers import connection_to, make_context, pull, push
from tests.stack import wait_until

pytestmark = pytest.mark.django_db
RECORDS = [{"id": number, "name": f"Käse {number}"} for number in range(1, 6)]
# Options of ssh-keygen and passphrase.
KEYS = {
    "ed25519": (("-t", "ed25519"), ""),
    "ed25519 with passphrase": (("-t", "ed25519"), "open sesame"),
    "rsa": (("-t", "rsa", "-b", "2048"), ""),
    "rsa with passphrase": (("-t", "rsa", "-b", "2048"), "open sesame"),
    "rsa in PEM": (("-t", "rsa", "-b", "2048", "-m", "PEM"), ""),
    "rsa in PEM with passphrase": (("-t", "rsa", "-b", "2048", "-m", "PEM"), "open sesame"),
    "rsa in PKCS 8 with passphrase": (("-t", "rsa", "-b", "2048", "-m", "PKCS8"), "open sesame"),
    "ecdsa": (("-t", "ecdsa"), ""),
}


def connection_with_key(server: OpenSSHServer, path: Path, passphrase: str = "", **fields: Any) -> Connection:
    """Returns an unsaved connection to `folder` with a private key."""
    defaults = {"auth": "key", "auth_username": USER, "secret": path.read_text()}
    connection = connection_to(
        f"sftp://127.0.0.1:{server.port}{server.folder.parent}/drop", **defaults | fields
    )
    connection.set_passphrase(passphrase)
    return connection


@pytest.fixture
def connection(sshd: OpenSSHServer, tmp_path: Path) -> Connection:
    """A connection to the folder `drop`, with an accepted key."""
    (tmp_path / "drop").mkdir()
    (tmp_path / "drop" / "a.json").write_text('[{"id": 1}]')
    sshd.authorize(create_key(tmp_path / "key"))
    return connection_with_key(sshd, tmp_path / "key")


def pull_ids(connection: Connection) -> list[int]:
    pages = pull(connection, {"path": "*.json", "format": "json"})
    return [record["id"] for page in pages for record in page.records]


@pytest.mark.parametrize("kind", KEYS)
def test_key_is_accepted(sshd: OpenSSHServer, tmp_path: Path, kind: str) -> None:
    options, passphrase = KEYS[kind]
    sshd.authorize(create_key(tmp_path / "key", *options, passphrase=passphrase))
    connection = connection_with_key(sshd, tmp_path / "key", passphrase)

    push(connection, {"path": "out/{run}.ndjson", "format": "ndjson"}, [RECORDS])
    pages = pull(connection, {"path": "out/*.ndjson", "format": "ndjson"})

    assert [record for page in pages for record in page.records] == RECORDS


def test_connections_are_closed(connection: Connection) -> None:
    open_before = set(threading.enumerate())

    push(connection, {"path": "b.json"}, [[{"id": 2}]])
    assert pull_ids(connection) == [1, 2]

    opened = set(threading.enumerate()) - open_before
    wait_until(lambda: not any(thread.is_alive() for thread in opened), lambda: f"Still open: {opened}")


def test_key_and_passphrase_come_from_the_environment(
    sshd: OpenSSHServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sshd.authorize(create_key(tmp_path / "key", passphrase="open sesame"))
    monkeypatch.setenv("DROP_KEY", (tmp_path / "key").read_text().replace("\n", "\\n"))
    monkeypatch.setenv("DROP_PASSPHRASE", "open sesame")
    connection = connection_with_key(
        sshd, tmp_path / "key", secret="", secret_env="DROP_KEY", passphrase_env="DROP_PASSPHRASE"
    )

    push(connection, {"path": "{run}.json", "format": "json"}, [RECORDS])

    assert (tmp_path / "drop" / "7.json").exists()


def test_written_file_replaces_an_existing_file(connection: Connection, tmp_path: Path) -> None:
    for number in (1, 2):
        push(connection, {"path": "a.json", "format": "json"}, [[{"id": number}]])

    assert pull_ids(connection) == [2]
    assert [path.name for path in (tmp_path / "drop").iterdir()] == ["a.json"]


def test_moved_file_never_replaces_one_that_just_appeared(
    connection: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = folder_of(connection)
    (tmp_path / "drop" / "b.json").write_text("of another run")
    # The other run creates it after the check.
    monkeypatch.setattr(folder, "info", lambda _name: None)

    assert folder.move("a.json", "b.json") is False
    assert (tmp_path / "drop" / "a.json").read_text() == '[{"id": 1}]'
    assert (tmp_path / "drop" / "b.json").read_text() == "of another run"


def test_links_to_files_are_read(connection: Connection, tmp_path: Path) -> None:
    drop = tmp_path / "drop"
    (drop / "b.json").symlink_to(drop / "a.json")
    (drop / "dangling.json").symlink_to(drop / "missing")
    (drop / "folder.json").symlink_to(tmp_path)

    assert pull_ids(connection) == [1, 1]


def test_brackets_in_the_address_are_no_wildcards(connection: Connection, tmp_path: Path) -> None:
    (tmp_path / "drop").rename(tmp_path / "drop[1]")
    connection.url = connection.url.replace("/drop", "/drop[1]")

    push(connection, {"path": "b.json"}, [[{"id": 2}]])

    assert pull_ids(connection) == [1, 2]


def test_archive_is_written_and_read_from_its_end(connection: Connection) -> None:
    records = [{"id": number, "text": token_hex(100)} for number in range(5000)]
    for _time in range(2):
        push(connection, {"path": "out.ndjson.zip"}, list(batched(records, 1000)))

    pages = pull(connection, {"path": "*.ndjson.zip"})

    assert [record for page in pages for record in page.records] == records


def test_read_only_server_is_reported(sshd: OpenSSHServer, connection: Connection) -> None:
    sshd.sftp_options = "-R"
    sshd.restart()
    folder = folder_of(connection)

    assert pull_ids(connection) == [1]
    with pytest.raises(ConnectorError, match=r"^b\.json cannot be written: Permission denied\.$"):
        push(connection, {"path": "b.json"}, [[{"id": 2}]])
    with pytest.raises(
        ConnectorError, match=r"^a\.json cannot be moved to done/a\.json: Permission denied\.$"
    ):
        folder.move("a.json", "done/a.json")
    with pytest.raises(ConnectorError, match=r"^a\.json cannot be deleted: Permission denied\.$"):
        folder.delete("a.json")


def test_folder_that_cannot_be_listed_is_reported(
    connection: Connection, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_arguments: Any, **_options: Any) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(paramiko.SFTPClient, "listdir_iter", refuse)

    with pytest.raises(ConnectorError, match=r"/drop cannot be listed: Permission denied\.$"):
        pull_ids(connection)
    assert pull(connection, {"path": "**/*.json"}) == []
    assert "/drop left out: it cannot be listed: Permission denied" in caplog.text


def test_refused_key_is_named_with_what_to_add(
    connection: Connection, sshd: OpenSSHServer, tmp_path: Path
) -> None:
    public_key = create_key(tmp_path / "other")
    algorithm, key, _comment = public_key.read_text().split()
    refused = connection_with_key(sshd, tmp_path / "other")

    with pytest.raises(ConnectorError) as caught:
        pull_ids(refused)

    message = str(caught.value)
    assert message.startswith(
        "Connection other-system cannot be opened: Authentication failed. The server refused the key"
    )
    assert message.endswith(f"to the authorized keys of the user: {algorithm} {key}")


def test_wrong_passphrase_is_reported_before_connecting(sshd: OpenSSHServer, tmp_path: Path) -> None:
    create_key(tmp_path / "key", passphrase="open sesame")

    for passphrase, reason in (("wrong", "does not fit"), ("", "is protected by a passphrase")):
        with pytest.raises(ConnectorError, match=reason):
            pull_ids(connection_with_key(sshd, tmp_path / "key", passphrase))


def test_server_that_accepts_keys_only_is_reported_for_a_password(connection: Connection) -> None:
    connection.auth = "basic"
    connection.set_secret("open sesame")

    with pytest.raises(
        ConnectorError, match=r"the server does not accept passwords, only publickey\. Choose"
    ):
        pull_ids(connection)


def test_first_host_key_is_remembered_and_logged_once(
    connection: Connection, sshd: OpenSSHServer, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "apps.services"):
        assert (pull_ids(connection), pull_ids(connection)) == ([1], [1])

    [message] = [one for one in caplog.messages if "host key" in one]
    assert message == (
        f"First connection to [127.0.0.1]:{sshd.port}: its host key ssh-ed25519 {sshd.host_key_fingerprint} is "
        "remembered."
    )
    assert HostKey.objects.get().fingerprint == sshd.host_key_fingerprint


def test_changed_host_key_stops_the_run_with_both_fingerprints(
    connection: Connection, sshd: OpenSSHServer
) -> None:
    pull_ids(connection)
    before = sshd.host_key_fingerprint
    sshd.create_host_key()
    sshd.restart()

    with pytest.raises(ConnectorError) as caught:
        pull_ids(connection)

    assert str(caught.value) == (
        f"The host key of [127.0.0.1]:{sshd.port} has changed: someone may intercept the connection. Remembered: "
        f"ssh-ed25519 {before}. Presented: ssh-ed25519 {sshd.host_key_fingerprint}. If the operator of the server "
        "confirms the new key, tick “Forget host key” in the settings of the connection and save."
    )
    HostKey.objects.all().delete()
    assert pull_ids(connection) == [1]


def test_two_workers_that_connect_at_once_remember_one_key() -> None:
    key, other = paramiko.ECDSAKey.generate(), paramiko.ECDSAKey.generate()
    first, second = RememberedHostKeys("host"), RememberedHostKeys("host")
    client = paramiko.SSHClient()

    first.missing_host_key(client, "host", key)
    second.missing_host_key(client, "host", key)
    with pytest.raises(ConnectorError, match=r"host key of host has changed"):
        RememberedHostKeys("host").missing_host_key(client, "host", other)

    assert HostKey.objects.get().key == key.get_base64()


def test_known_algorithm_is_preferred_among_the_keys_of_a_server(
    connection: Connection, sshd: OpenSSHServer
) -> None:
    """A server that gets a key of another algorithm is still recognized by the remembered one."""
    create_key(sshd.folder / "rsa_key", "-t", "rsa", "-b", "2048")
    algorithm, key, _comment = (sshd.folder / "rsa_key.pub").read_text().split()
    sshd.additional_options = f"HostKey {sshd.folder}/rsa_key\n"
    sshd.restart()
    HostKey.objects.create(host=f"[127.0.0.1]:{sshd.port}", algorithm=algorithm, key=key)

    assert pull_ids(connection) == [1]
    assert HostKey.objects.count() == 1


@pytest.fixture
def idle(sshd: OpenSSHServer, connection: Connection) -> Iterator[Proxy]:
    """A proxy in front of the server of `connection`; `switch("through")` closes the open connections."""
    with proxy(sshd.port) as idle:
        port = idle.url.rpartition(":")[2]
        connection.url = connection.url.replace(f":{sshd.port}/", f":{port}/")
        yield idle


def test_closed_connection_is_restored_in_the_middle_of_a_listing(
    connection: Connection, tmp_path: Path, idle: Proxy, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(2, 5):
        folder = tmp_path / "drop" / f"folder-{number}"
        folder.mkdir()
        (folder / "b.json").write_text(f'[{{"id": {number}}}]')
    source = folder_of(connection)
    list_folder = source._fs.ftp.listdir_iter
    listed = []

    def list_and_close(path: str) -> Any:
        for entry in list_folder(path):
            listed.append(entry)
            if len(listed) == 2:
                idle.switch("through")
                wait_until(lambda: source._fs.ftp.get_channel().closed)
            yield entry

    source._fs.ftp.listdir_iter = list_and_close
    with caplog.at_level(logging.INFO, "apps.services"):
        names = [file.name for file in source.files("**/*.json")]

    assert names == ["a.json", *(f"folder-{number}/b.json" for number in range(2, 5))]
    assert "The SFTP server 127.0.0.1 closed the connection; connecting again." in caplog.messages


def test_file_is_read_on_after_a_closed_connection(
    connection: Connection, tmp_path: Path, idle: Proxy
) -> None:
    content = os.urandom(300_000)
    (tmp_path / "drop" / "a.bin").write_bytes(content)

    with folder_of(connection).open("a.bin") as stream:
        first = stream.read(100_000)
        idle.switch("through")
        rest = stream.read()

    assert first + rest == content


def test_file_that_changes_while_the_connection_is_closed_is_an_error(
    connection: Connection, tmp_path: Path, idle: Proxy
) -> None:
    path = tmp_path / "drop" / "a.bin"
    path.write_bytes(bytes(300_000))

    with folder_of(connection).open("a.bin") as stream:
        stream.read(100_000)
        idle.switch("through")
        path.write_bytes(bytes(300_001))
        with pytest.raises(ConnectorError, match=r"a\.bin has changed while it was read"):
            stream.read()


def test_lost_connection_is_not_taken_for_the_end_of_the_file(
    connection: Connection, tmp_path: Path, idle: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "drop" / "a.bin").write_bytes(bytes(300_000))

    with folder_of(connection).open("a.bin") as stream:
        first = stream.read(100_000)
        idle.switch("through")
        # As when the loss is noticed between a request and its response.
        monkeypatch.setattr("paramiko.SFTPFile.read", lambda *_arguments: _once(monkeypatch))
        rest = stream.read()

    assert len(first) + len(rest) == 300_000


def _once(monkeypatch: pytest.MonkeyPatch) -> bytes:
    monkeypatch.undo()
    return b""


def test_connection_that_is_closed_between_pages_loses_no_record(
    connection: Connection, tmp_path: Path, idle: Proxy
) -> None:
    records = [{"id": number, "text": "x" * 500} for number in range(1000)]
    service = Service(
        slug="tested",
        destination_connection=connection,
        destination_options={"path": "{run}.ndjson", "format": "ndjson"},
    )

    with open_destination(service, make_context()) as destination:
        for number, batch in enumerate(batched(records, 200), start=1):
            list(destination.push(number, list(batch)))
            idle.switch("through")
        [delivery] = destination.finish()

    lines = (tmp_path / "drop" / "7.ndjson").read_text().splitlines()
    assert [json.loads(line) for line in lines] == records
    assert delivery.accepted == 1000
    assert sorted(path.name for path in (tmp_path / "drop").iterdir()) == ["7.ndjson", "a.json"]


@pytest.mark.parametrize("has_arrived", [True, False])
def test_rename_whose_response_is_lost_is_repeated_only_if_it_did_not_arrive(
    connection: Connection, tmp_path: Path, idle: Proxy, has_arrived: bool
) -> None:
    pending = folder_of(connection).create("a.json")
    pending.stream.write(b"[]")
    fs = pending._fs
    rename = fs.ftp.posix_rename
    renamed = []

    def rename_and_lose(old: str, new: str) -> None:
        renamed.append(new)
        if has_arrived:
            rename(old, new)
        idle.switch("through")
        raise paramiko.SSHException("Server connection dropped")

    fs.ftp.posix_rename = rename_and_lose
    pending.commit()

    assert len(renamed) == 1
    assert [(path.name, path.read_text()) for path in (tmp_path / "drop").iterdir()] == [("a.json", "[]")]


def test_files_are_moved_and_deleted_after_a_closed_connection(
    connection: Connection, tmp_path: Path, idle: Proxy
) -> None:
    (tmp_path / "drop" / "b.json").write_text("[]")
    folder = folder_of(connection)

    idle.switch("through")
    is_moved = folder.move("a.json", "done/a.json")
    idle.switch("through")
    folder.delete("b.json")

    assert is_moved
    assert [path.name for path in tmp_path.glob("drop/**/*.json")] == ["a.json"]


def test_server_that_stays_away_is_an_error(connection: Connection, idle: Proxy) -> None:
    folder = folder_of(connection)
    idle.switch("down")

    with pytest.raises(ConnectorError, match=r"^Connection other-system cannot be opened again: "):
        list(folder.files("*.json"))


def test_incomplete_file_is_deleted_on_a_full_disk(connection: Connection, tmp_path: Path) -> None:
    pending = folder_of(connection).create("b.json")
    pending.stream.write(b"[]")
    writer = cast("BufferedWriter", pending.stream).raw

    def fail(_block: bytes) -> None:
        raise OSError("Failure")

    vars(writer)["_file"].write = fail
    with pytest.raises(ConnectorError, match=r"cannot be deleted: Failure"):
        pending.discard()

    assert [path.name for path in (tmp_path / "drop").iterdir()] == ["a.json"]
