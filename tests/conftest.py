"""Fixtures that all tests share; tests/environment.py is loaded before it."""

import functools
import gc
import os
from collections.abc import Generator, Iterator
from pathlib import Path
from socketserver import StreamRequestHandler
from typing import Any, NoReturn

import botocore.session
import hypothesis
import pytest
from botocore.config import Config as BotoConfig
from botocore.loaders import create_loader
from django.conf import settings as django_settings
from django.core.cache import caches
from django.core.management.commands import flush
from django.db import connection
from django.test import override_settings
from django.utils import translation
from pytest_django import Settings

from tests import migrated_database, openssh
from tests.chromium import HOW_TO_INSTALL, chromium_path
from tests.openssh import OpenSSHServer, openssh_server, sshd_path
from tests.servers import RedisServer, S3Server

_MISSING = "is not installed"
# Without time limits, which a busy machine exceeds: the first draw of a text builds a table of all characters.
hypothesis.settings.register_profile(
    "tests", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("tests")

KEPT_TABLES = {"django_content_type", "auth_permission"}
DATABASE_FIXTURES = {"db", "transactional_db", "live_server"}
# Tests of code whose SQL, locks or transactions differ between the databases.
DATABASE_TESTS = (
    "alerts/delivery",
    "alerts/incidents/test_clock_events.py",
    "alerts/incidents/test_notices.py",
    "api/queries/test_pagination.py",
    "api/reports/test_records.py",
    "api/views/test_audit.py",
    "api/views/test_health.py",
    "api/views/test_metrics.py",
    "api/views/test_records.py",
    "api/views/test_start_and_cancel.py",
    "audit/test_retention.py",
    "console/audit",
    "console/home/test_page.py",
    "console/log/test_search.py",
    "console/runs",
    "console/search",
    "console/services/test_list.py",
    "console/summary",
    "runs/execution/test_policies.py",
    "runs/execution/test_queue.py",
    "runs/execution/test_source_files.py",
    "runs/log",
    "runs/monitoring",
    "runs/payloads/test_faults.py",
    "runs/payloads/test_hold.py",
    "runs/records/test_payloads.py",
    "runs/records/test_tracking.py",
    "runs/recovery",
    "runs/test_migrations.py",
    "services/connectors/test_oauth2.py",
    "services/connectors/test_rate_limit.py",
    "test_authentication.py",
    "test_revoked_access.py",
)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Ignores modules of other tests with --only-with-database; None leaves the decision to pytest."""
    if not config.getoption("only_with_database") or collection_path.is_dir():
        return None
    tests = Path(__file__).parent
    return None if any(collection_path.is_relative_to(tests / path) for path in DATABASE_TESTS) else True


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    # Long tests run first, so that no worker starts one when the others are done; the order is random otherwise.
    items.sort(key=_expected_seconds, reverse=True)
    selected = items
    if config.getoption("database") == "sqlite":
        selected = [item for item in selected if not item.get_closest_marker("postgresql")]
    if config.getoption("only_with_database"):
        selected = [item for item in selected if _depends_on_database(item)]
    chosen = set(selected)
    config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
    items[:] = selected


def pytest_collection_finish() -> None:
    """Spares the garbage collector what stays until the end: a tenth of the time of the tests."""
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def _expected_seconds(item: pytest.Item) -> float:
    """Rough duration by markers: the time limit of tests that need more than usual, then browser tests."""
    if limit := item.get_closest_marker("timeout"):
        return float(limit.args[0])
    return 30 if item.get_closest_marker("stack") else 20 if item.get_closest_marker("browser") else 0


def _depends_on_database(item: pytest.Item) -> bool:
    if item.get_closest_marker("stack") or item.get_closest_marker("browser"):
        return False
    fixtures = getattr(item, "fixturenames", ())
    parameters = item.callspec.params.values() if hasattr(item, "callspec") else ()
    if "s3_server" in fixtures or "s3" in parameters:
        return False
    return item.get_closest_marker("django_db") is not None or not DATABASE_FIXTURES.isdisjoint(fixtures)


@pytest.fixture(scope="session")
def django_db_keepdb() -> bool:
    """No DROP DATABASE, which fails while a thread of the live server is connected; the server is temporary anyway."""
    return True


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings_parallel_suffix: None) -> None:
    """Copies a migrated database for each worker."""
    settings = connection.settings_dict
    if connection.vendor == "postgresql":
        settings["TEST"]["TEMPLATE"] = migrated_database.postgresql_template()
    else:
        migrated_database.copy_sqlite(Path(settings["TEST"]["NAME"]))
        settings["OPTIONS"]["init_command"] += "PRAGMA synchronous=OFF;"


@pytest.fixture(scope="session", autouse=True)
def quick_flush() -> Iterator[None]:
    """Empties the tables after a transactional test without TRUNCATE, and keeps content types and permissions.

    Django would create both again, which takes longer than most tests.
    """

    def delete_rows(_style: object, connection: Any, **_options: bool) -> list[str]:
        tables = set(connection.introspection.django_table_names(only_existing=True))
        quote = connection.ops.quote_name
        statements = [f"DELETE FROM {quote(table)}" for table in sorted(tables - KEPT_TABLES)]  # noqa: S608
        return ["; ".join(statements)] if connection.vendor == "postgresql" else statements

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flush, "sql_flush", delete_rows)
        patch.setattr(flush, "emit_post_migrate_signal", lambda *_arguments, **_options: None)
        yield


@pytest.fixture(scope="session", autouse=True)
def quick_settings() -> Iterator[None]:
    """Static files without a manifest, and a fast password hash."""
    storages = django_settings.STORAGES | {
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
    }
    hashers = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    with override_settings(STORAGES=storages, PASSWORD_HASHERS=hashers):
        yield


@pytest.fixture(scope="session", autouse=True)
def quick_s3_clients() -> Iterator[None]:
    """Reads the description of S3 once, not again for every store: that takes longer than most tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(botocore.session, "create_loader", functools.cache(create_loader))
        yield


@pytest.fixture(scope="session", autouse=True)
def quick_http_servers() -> Iterator[None]:
    """Sends the body of a response at once: otherwise it waits 40 ms until the client acknowledges the head."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(StreamRequestHandler, "disable_nagle_algorithm", True)
        yield


@pytest.fixture(autouse=True)
def language() -> Iterator[None]:
    """Resets the active language, which a request of the test may have changed."""
    yield
    translation.deactivate()


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    with S3Server() as server:
        yield server


@pytest.fixture
def s3_payloads(s3_server: S3Server, settings: Settings) -> str:
    """Stores payloads in a new bucket and returns its name; `s3_server.client()` reads it."""
    bucket = s3_server.create_bucket()
    options = {
        "bucket_name": bucket,
        "endpoint_url": s3_server.url,
        "region_name": s3_server.region,
        "access_key": s3_server.access_key,
        "secret_key": s3_server.secret_key,
        "default_acl": None,
        "querystring_auth": True,
        "client_config": BotoConfig(
            signature_version="s3v4",
            s3={"addressing_style": "path"},
            connect_timeout=5,
            read_timeout=30,
            retries={"mode": "standard", "total_max_attempts": 3},
        ),
    }
    store = {"BACKEND": "storages.backends.s3.S3Storage", "OPTIONS": options}
    settings.STORAGES = settings.STORAGES | {"payloads": store}
    return bucket


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of the browser. Without a browser the test is skipped; with CI=true it fails."""
    path = chromium_path()
    if path is None:
        missing("Chromium", HOW_TO_INSTALL)
    return path


@pytest.fixture
def sshd(tmp_path: Path) -> Iterator[OpenSSHServer]:
    """A running OpenSSH server. Without it the test is skipped; with CI=true it fails."""
    if sshd_path() is None:
        missing("OpenSSH server", openssh.HOW_TO_INSTALL)
    with openssh_server(tmp_path / "sshd") as server:
        yield server


def missing(component: str, remedy: str) -> NoReturn:
    """Skips the test because a component is missing; with CI=true it fails."""
    reason = f"{component} {_MISSING}; {remedy}"
    if os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Reports all tests that miss the same component in one line."""
    report = yield
    if isinstance(report.longrepr, tuple) and _MISSING in report.longrepr[2]:
        report.longrepr = ("tests", None, report.longrepr[2])  # type: ignore[assignment]
    return report


@pytest.fixture(autouse=True)
def reset_request_counts() -> None:
    """Clears the request counts of the rate limits, which earlier tests of this process stored in the caches."""
    for name in django_settings.CACHES:
        caches[name].clear()


@pytest.fixture
def own_folders(settings: Settings, tmp_path: Path) -> None:
    """Stores the spool and the payloads in folders of this test."""
    settings.SPOOL_DIR = tmp_path / "spool"
    settings.STORAGES = settings.STORAGES | {
        "payloads": {
            "BACKEND": "django.core.files.storage.FileSystemStorage",
            "OPTIONS": {"location": tmp_path / "payloads"},
        }
    }
