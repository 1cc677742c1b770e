"""API reference: its content security policy, and that it loads only our own files."""

import re

from django.contrib.staticfiles import finders
from django.test import Client


def test_policy_is_strict_except_for_data_images():
    response = Client().get("/api/docs/")

    assert response.status_code == 200
    policy = response["Content-Security-Policy"].split("; ")
    assert "default-src 'self'" in policy
    assert "img-src 'self' data:" in policy
    assert "unsafe" not in response["Content-Security-Policy"]


def test_page_loads_only_our_own_files():
    text = Client().get("/api/docs/").content.decode()

    addresses = re.findall(r'(?:src|link .*href|data-schema)="([^"]+)"', text)
    assert len(addresses) == 6
    for address in addresses:
        assert address.startswith("/api/schema/") or finders.find(address.removeprefix("/static/")), address


def test_page_refuses_post():
    assert Client().post("/api/docs/").status_code in (403, 405)
