"""A real OpenSSH server from Debian, which serves SFTP and accepts private keys."""

import getpass
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from tests.stack import wait_until

HOW_TO_INSTALL = "on Debian: apt install openssh-server"
USER = getpass.getuser()


def sshd_path() -> str | None:
    """Path of the server, which is not on the path of every user."""
    return shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


class OpenSSHServer:
    """Process of the server; `folder` is for its files, `authorized_keys` are public keys."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with closing(socket.create_server(("127.0.0.1", 0))) as free:
            self.port = free.getsockname()[1]
        # Lines of the configuration that take effect with the next start.
        self.additional_options = ""
        # Such as -R, read-only.
        self.sftp_options = ""
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir()
        self.create_host_key()

    def create_host_key(self) -> None:
        """Replaces the host key; the server uses it after a restart."""
        for path in self.folder.glob("host_key*"):
            path.unlink()
        create_key(self.folder / "host_key")

    @property
    def host_key_fingerprint(self) -> str:
        output = subprocess.check_output(["ssh-keygen", "-l", "-f", self.folder / "host_key.pub"], text=True)
        return output.split()[1]

    def authorize(self, *public_keys: Path) -> None:
        (self.folder / "authorized_keys").write_text("".join(path.read_text() for path in public_keys))

    def start(self) -> None:
        # The privilege separation folder of Debian is created by its service.
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        configuration = self.folder / "sshd_config"
        configuration.write_text(
            f"ListenAddress 127.0.0.1:{self.port}\n"
            f"HostKey {self.folder}/host_key\n"
            f"AuthorizedKeysFile {self.folder}/authorized_keys\n"
            f"PidFile {self.folder}/pid\n"
            "StrictModes no\nUsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n"
            f"PermitRootLogin yes\nSubsystem sftp internal-sftp {self.sftp_options}\n"
            + self.additional_options
        )
        path = sshd_path()
        assert path, HOW_TO_INSTALL
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen([path, "-D", "-e", "-f", str(configuration)], stderr=log)
        wait_until(self._is_listening)

    def _is_listening(self) -> bool:
        with closing(socket.socket()) as client:
            return client.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self) -> None:
        if self._process:
            self._process.terminate()
            self._process.wait()
            self._process = None

    def restart(self) -> None:
        self.stop()
        self.start()


@contextmanager
def openssh_server(folder: Path) -> Iterator[OpenSSHServer]:
    server = OpenSSHServer(folder)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def create_key(path: Path, *options: str, passphrase: str = "") -> Path:
    """Creates a key pair, Ed25519 unless `options` differ; returns the path of the public key."""
    # One round: a passphrase is checked in milliseconds instead of half a second.
    key = ("-N", passphrase, "-a", "1", *(options or ("-t", "ed25519")))
    subprocess.run(["ssh-keygen", "-q", "-f", path, *key], check=True)
    return path.with_name(f"{path.name}.pub")
