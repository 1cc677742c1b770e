"""What load balancers ask: is it alive, is it ready, and if not, what is down."""

import pytest
from django.core.files.storage import storages
from django.test import Client
from kombu.exceptions import OperationalError

from apps.api.views import health

UP = {"database": "up", "broker": "up", "payload_store": "up"}


@pytest.fixture
def ready(db, monkeypatch):
    """All is there; the broker is none that these tests start."""
    monkeypatch.setattr(health, "check_broker", lambda: None)


def test_livez_asks_nothing_of_others():
    response = Client().get("/livez")

    assert (response.status_code, response.content) == (200, b"ok")


@pytest.mark.parametrize("path", ["/livez", "/readyz"])
def test_health_takes_no_post(path):
    assert Client().post(path).status_code == 405


def test_readyz_is_200_where_all_is_there(ready):
    response = Client().get("/readyz")

    assert response.status_code == 200
    assert response.json() == {"status": "ready", "checks": UP}
    assert "no-store" in response["Cache-Control"]


def test_readyz_asks_the_real_broker(db):
    assert Client().get("/readyz").json()["checks"]["broker"] == "up"


@pytest.mark.parametrize(
    ("check", "name"),
    [
        ("check_database", "database"),
        ("check_broker", "broker"),
        ("check_payload_store", "payload_store"),
    ],
)
def test_readyz_names_what_is_down_and_no_more(ready, monkeypatch, check, name):
    def fail():
        raise OperationalError("redis://:hunter2@10.0.0.7:6379")

    monkeypatch.setattr(health, check, fail)

    response = Client().get("/readyz")

    assert response.status_code == 503
    assert response.json() == {"status": "not ready", "checks": UP | {name: "down"}}


def test_payload_folder_that_is_none_is_down(ready, settings, tmp_path):
    (tmp_path / "file").write_text("")
    settings.STORAGES = settings.STORAGES | {
        "payloads": settings.STORAGES["payloads"] | {"OPTIONS": {"location": tmp_path / "file" / "payloads"}}
    }

    assert Client().get("/readyz").json()["checks"] == UP | {"payload_store": "down"}


def test_bucket_is_asked_for(ready, s3_payloads, settings):
    there = Client().get("/readyz").json()["checks"]
    store = settings.STORAGES["payloads"]
    settings.STORAGES = settings.STORAGES | {
        "payloads": store | {"OPTIONS": store["OPTIONS"] | {"bucket_name": "no-such-bucket"}}
    }

    gone = Client().get("/readyz").json()["checks"]

    assert storages["payloads"].bucket_name == "no-such-bucket"
    assert (there, gone) == (UP, UP | {"payload_store": "down"})
