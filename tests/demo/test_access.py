"""User and token of the demo."""

import stat

import pytest
from django.contrib.auth.models import User

from apps.api.models import ApiToken
from apps.demo.access import grant_access

pytestmark = pytest.mark.django_db


def test_access_is_created_once_and_returned_again(tmp_path):
    first = grant_access(tmp_path / "credentials.txt")

    again = grant_access(tmp_path / "credentials.txt")

    assert again == first
    assert first.user.is_superuser
    assert User.objects.get(username="demo").check_password(first.password)
    assert ApiToken.objects.usable().count() == 1


def test_access_file_is_readable_by_its_owner_only(tmp_path):
    path = tmp_path / "credentials.txt"

    access = grant_access(path)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_text() == f"user: demo\npassword: {access.password}\ntoken: {access.token}\n"


def test_only_a_revoked_token_is_replaced(tmp_path):
    first = grant_access(tmp_path / "credentials.txt")
    ApiToken.objects.get().revoke()

    second = grant_access(tmp_path / "credentials.txt")

    assert second.password == first.password
    assert second.token != first.token
    assert ApiToken.objects.usable().count() == 1


def test_access_is_restored_if_its_file_is_missing(tmp_path):
    first = grant_access(tmp_path / "credentials.txt")
    (tmp_path / "credentials.txt").unlink()

    second = grant_access(tmp_path / "credentials.txt")

    assert second.user == first.user
    assert User.objects.get(username="demo").check_password(second.password)
