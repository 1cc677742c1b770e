"""A pytest plugin that sets the environment of the tests before Django reads it.

`pyproject.toml` loads it with `-p`, because a conftest is loaded after the settings. The first process starts the
database and creates the data folder; the workers inherit both through the environment.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import PostgresServer

# Variables that Synclog reads; values from a developer's shell would change the tests.
SYNCLOG_VARIABLES = (
    *("DATABASE_URL", "CELERY_BROKER_URL", "PORT", "PAYLOAD_RETENTION_HOURS", "LOG_RETENTION_DAYS"),
    "AUDIT_RETENTION_DAYS",
    *("DJANGO_SECRET_KEY", "DJANGO_DEBUG", "DJANGO_ALLOWED_HOSTS", "DJANGO_CSRF_TRUSTED_ORIGINS"),
    *("AWS_STORAGE_BUCKET_NAME", "AWS_S3_ENDPOINT_URL", "AWS_S3_REGION_NAME", "AWS_ACCESS_KEY_ID"),
    *("AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_DEFAULT_PROFILE"),
    *("AWS_S3_SSE", "AWS_S3_KMS_KEY_ID", "PAYLOAD_DOWNLOAD", "EMAIL_URL", "DEFAULT_FROM_EMAIL"),
)


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("synclog")
    group.addoption(
        "--database",
        choices=("postgresql", "sqlite"),
        default="postgresql",
        help="the database that the tests use (default: postgresql, started for them)",
    )
    group.addoption(
        "--only-with-database",
        action="store_true",
        help="run only tests of code that depends on the database, without those that start servers or a browser",
    )


@pytest.hookimpl(wrapper=True)
def pytest_load_initial_conftests(
    early_config: pytest.Config, parser: pytest.Parser, args: list[str]
) -> Iterator[None]:
    options = parser.parse_known_args(args)
    if worker := os.environ.get("PYTEST_XDIST_WORKER"):
        _use_folder(Path(os.environ["SYNCLOG_DATA_DIR"]) / worker)
    else:
        clear_environment()
        folder = Path(tempfile.mkdtemp(prefix="synclog-tests-"))
        early_config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))
        os.environ["SYNCLOG_TESTS_DIR"] = str(folder)
        _use_folder(folder)
        if options.database == "postgresql" and not (options.help or options.version):
            server = PostgresServer().__enter__()
            early_config.add_cleanup(server.close)
            os.environ.update(server.env)
    return (yield)


def clear_environment() -> None:
    """Removes every variable that Synclog reads from the environment."""
    for name in list(os.environ):
        if name in SYNCLOG_VARIABLES or name.startswith("SYNCLOG_"):
            del os.environ[name]


def _use_folder(folder: Path) -> None:
    # WhiteNoise warns of a missing folder, and warnings are errors.
    (folder / "static").mkdir(parents=True)
    os.environ["SYNCLOG_DATA_DIR"] = str(folder)
