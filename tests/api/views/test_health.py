"""Health checks: /livez and /readyz."""

import pytest
from django.core.files.storage import storages
from django.test import Client
from kombu.exceptions import OperationalError

from apps.api.views import health

UP = {"database": "up", "broker": "up", "payload_store": "up"}


@pytest.fixture
def ready(db, monkeypatch):
    """Everything is up; the broker is replaced, because these tests start none."""
    monkeypatch.setattr(health, "check_broker", lambda: None)


def test_livez_checks_no_other_server():
    response = Client().get("/livez")

    assert (response.status_code, response.content) == (200, b"ok")


@pytest.mark.parametrize("path", ["/livez", "/readyz"])
def test_health_checks_refuse_post(path):
    assert Client().post(path).status_code == 405


def test_readyz_is_200_if_everything_is_up(ready):
    response = Client().get("/readyz")

    assert response.status_code == 200
    assert response.json() == {"status": "ready", "checks": UP}
    assert "no-store" in response["Cache-Control"]


def test_readyz_checks_the_configured_broker(db):
    assert Client().get("/readyz").json()["checks"]["broker"] == "up"


@pytest.mark.parametrize(
    ("check", "name"),
    [
        ("check_database", "database"),
        ("check_broker", "broker"),
        ("check_payload_store", "payload_store"),
    ],
)
def test_readyz_names_what_is_down_without_details(ready, monkeypatch, check, name):
    def fail():
        raise OperationalError("redis://:hunter2@10.0.0.7:6379")

    monkeypatch.setattr(health, check, fail)

    response = Client().get("/readyz")

    assert response.status_code == 503
    assert response.json() == {"status": "not ready", "checks": UP | {name: "down"}}


def test_unusable_payload_folder_is_down(ready, settings, tmp_path):
    (tmp_path / "file").write_text("")
    settings.STORAGES = settings.STORAGES | {
        "payloads": settings.STORAGES["payloads"] | {"OPTIONS": {"location": tmp_path / "file" / "payloads"}}
    }

    assert Client().get("/readyz").json()["checks"] == UP | {"payload_store": "down"}


def test_missing_bucket_is_down(ready, s3_payloads, settings):
    existing = Client().get("/readyz").json()["checks"]
    store = settings.STORAGES["payloads"]
    settings.STORAGES = settings.STORAGES | {
        "payloads": store | {"OPTIONS": store["OPTIONS"] | {"bucket_name": "no-such-bucket"}}
    }

    missing = Client().get("/readyz").json()["checks"]

    assert storages["payloads"].bucket_name == "no-such-bucket"
    assert (existing, missing) == (UP, UP | {"payload_store": "down"})
