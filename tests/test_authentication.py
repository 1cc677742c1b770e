"""Users of sessions: permissions, number of queries, and changes that apply to the next request."""

import pytest
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import Group, Permission, User
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from apps.services.user_access import UserAccessBackend
from tests.factories import make_user

pytestmark = pytest.mark.django_db
USER_PERMISSIONS = ("services.view_service", "runs.start_run")
# The first permission is the user's own as well.
GROUP_PERMISSIONS = (("services.view_service", "runs.view_run"), ("runs.cancel_run",), ())


def make_groups() -> list[Group]:
    groups = []
    for number, names in enumerate(GROUP_PERMISSIONS):
        group = Group.objects.create(name=f"Group {number}")
        for name in names:
            app, codename = name.split(".")
            group.permissions.add(Permission.objects.get(content_type__app_label=app, codename=codename))
        groups.append(group)
    return groups


def user_of_session(user: User) -> User:
    found = UserAccessBackend().get_user(user.pk)
    assert found is not None
    return found


@pytest.mark.parametrize("own", [(), USER_PERMISSIONS])
@pytest.mark.parametrize("in_groups", [0, 1, 3])
@pytest.mark.parametrize("state", [{}, {"is_staff": False}, {"is_superuser": True}])
def test_permissions_equal_those_of_djangos_backend(
    own: tuple[str, ...], in_groups: int, state: dict
) -> None:
    groups = make_groups()
    make_user(permissions=["runs.download_payload"], groups=groups)
    user = make_user(permissions=own, groups=groups[:in_groups], **state)

    found = user_of_session(user)

    assert found == user
    assert found.get_all_permissions() == ModelBackend().get_all_permissions(User.objects.get(pk=user.pk))
    for name in ("services.view_service", "runs.view_run", "runs.cancel_run", "runs.download_payload"):
        assert found.has_perm(name) == User.objects.get(pk=user.pk).has_perm(name)
        assert not found.has_perm(name, obj=user) or user.is_superuser


def test_user_is_read_with_permissions_in_one_query(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    user = make_user(permissions=USER_PERMISSIONS, groups=make_groups())

    with django_assert_num_queries(1):
        found = user_of_session(user)

        assert found.has_perms([*USER_PERMISSIONS, "runs.cancel_run"])
        assert found.has_module_perms("runs")
        assert not found.has_perm("runs.download_payload")


def test_inactive_or_missing_user_is_not_found() -> None:
    user = make_user(permissions=USER_PERMISSIONS, is_active=False)

    assert UserAccessBackend().get_user(user.pk) is None
    assert UserAccessBackend().get_user(user.pk + 1) is None


def test_change_of_permissions_password_or_session_applies_to_the_next_request(client: Client) -> None:
    group = make_groups()[0]
    user = make_user(groups=[group])
    client.force_login(user)
    page = "/admin/services/service/"
    assert client.get(page).status_code == 200

    user.groups.clear()
    assert client.get(page).status_code == 403

    user.user_permissions.set(group.permissions.all())
    assert client.get(page).status_code == 200

    user.set_password("another")
    user.save()
    assert client.get(page).status_code == 302

    client.force_login(user)
    other = Client()
    other.cookies = client.cookies.copy()
    assert other.get(page).status_code == 200
    client.post("/admin/logout/")
    assert other.get(page).status_code == 302

    client.force_login(user)
    User.objects.filter(pk=user.pk).update(is_active=False)
    assert client.get(page).status_code == 302
