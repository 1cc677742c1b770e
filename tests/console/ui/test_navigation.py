"""Sidebar."""

import pytest

from tests.factories import make_user

pytestmark = pytest.mark.django_db


def test_every_page_has_an_icon_of_its_own(client):
    client.force_login(make_user(is_superuser=True))

    groups = client.get("/admin/").context["navigation"]

    icons = [item.icon for group in groups for item in group.items]
    assert len(icons) > 15
    assert len({*icons}) == len(icons)
