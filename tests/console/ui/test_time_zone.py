"""Time zone cookie of the browser."""

import pytest
from django.test import Client

from tests.factories import make_service, make_user

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("zone", ["Nowhere/Land", "../etc/passwd", "x" * 500, "UTC; x"])
def test_invalid_time_zone_is_ignored(client: Client, zone: str) -> None:
    make_service()
    client.force_login(make_user(is_superuser=True))
    client.cookies["synclog_zone"] = zone

    assert client.get("/admin/services/service/").status_code == 200
