"""Private keys and host keys, against a real OpenSSH server."""

import logging
from pathlib import Path
from typing import Any

import pytest

from apps.services.connectors.base import ConnectorError
from apps.services.models import Connection, HostKey
from tests.openssh import USER, OpenSSHServer, create_key
from tests.services.transfers import connection_to, pull, push

pytestmark = pytest.mark.django_db
RECORDS = [{"id": number, "name": f"Käse {number}"} for number in range(1, 6)]
# Options of ssh-keygen and passphrase.
KEYS = {
    "ed25519": (("-t", "ed25519"), ""),
    "ed25519 with passphrase": (("-t", "ed25519"), "open sesame"),
    "rsa": (("-t", "rsa", "-b", "3072"), ""),
    "rsa with passphrase": (("-t", "rsa", "-b", "3072"), "open sesame"),
    "rsa in PEM": (("-t", "rsa", "-b", "3072", "-m", "PEM"), ""),
    "rsa in PEM with passphrase": (("-t", "rsa", "-b", "3072", "-m", "PEM"), "open sesame"),
    "rsa in PKCS 8 with passphrase": (("-t", "rsa", "-b", "3072", "-m", "PKCS8"), "open sesame"),
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


def test_known_algorithm_is_preferred_among_the_keys_of_a_server(
    connection: Connection, sshd: OpenSSHServer
) -> None:
    """A server that gets a key of another algorithm is still recognized by the remembered one."""
    create_key(sshd.folder / "rsa_key", "-t", "rsa", "-b", "3072")
    algorithm, key, _comment = (sshd.folder / "rsa_key.pub").read_text().split()
    sshd.additional_options = f"HostKey {sshd.folder}/rsa_key\n"
    sshd.restart()
    HostKey.objects.create(host=f"[127.0.0.1]:{sshd.port}", algorithm=algorithm, key=key)

    assert pull_ids(connection) == [1]
    assert HostKey.objects.count() == 1
