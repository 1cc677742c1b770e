"""The reference page: its policy, and that all it needs comes from here."""

import re

from django.contrib.staticfiles import finders
from django.test import Client


def test_page_keeps_the_strict_policy_but_for_images_in_styles():
    response = Client().get("/api/docs/")

    assert response.status_code == 200
    policy = response["Content-Security-Policy"].split("; ")
    assert "default-src 'self'" in policy
    assert "img-src 'self' data:" in policy
    assert "unsafe" not in response["Content-Security-Policy"]


def test_page_loads_nothing_from_elsewhere():
    text = Client().get("/api/docs/").content.decode()

    addresses = re.findall(r'(?:src|link .*href|data-schema)="([^"]+)"', text)
    assert len(addresses) == 6
    for address in addresses:
        assert address.startswith("/api/schema/") or finders.find(address.removeprefix("/static/")), address


def test_page_takes_no_other_method():
    assert Client().post("/api/docs/").status_code in (403, 405)
