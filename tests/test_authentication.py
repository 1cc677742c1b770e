import pytest
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import Group, Permission, User
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from apps.services.user_access import UserAccessBackend
from tests.factories import make_user

pytestmark = pytest.mark.django_db
OF_USER = ("services.view_service", "runs.start_run")
# One of them is the user's own as well.
OF_GROUPS = (("services.view_service", "runs.view_run"), ("runs.cancel_run",), ())


def make_groups() -> list[Group]:
    groups = []
    for number, names in enumerate(OF_GROUPS):
        group = Group.objects.create(name=f"Group {number}")
        for name in names:
            app, codename = name.split(".")
            group.permissions.add(Permission.objects.get(content_type__app_label=app, codename=codename))
        groups.append(group)
    return groups


def of_session(user: User) -> User:
    found = UserAccessBackend().get_user(user.pk)
    assert found is not None
    return found


@pytest.mark.parametrize("own", [(), OF_USER])
@pytest.mark.parametrize("in_groups", [0, 1, 3])
@pytest.mark.parametrize("state", [{}, {"is_staff": False}, {"is_superuser": True}])
def test_user_may_do_what_djangos_backend_says(own: tuple[str, ...], in_groups: int, state: dict) -> None:
    groups = make_groups()
    make_user(permissions=["runs.download_payload"], groups=groups)
    user = make_user(permissions=own, groups=groups[:in_groups], **state)

    found = of_session(user)

    assert found == user
    assert found.get_all_permissions() == ModelBackend().get_all_permissions(User.objects.get(pk=user.pk))
    for name in ("services.view_service", "runs.view_run", "runs.cancel_run", "runs.download_payload"):
        assert found.has_perm(name) == User.objects.get(pk=user.pk).has_perm(name)
        assert not found.has_perm(name, obj=user) or user.is_superuser


def test_user_comes_with_the_permissions_in_one_query(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    user = make_user(permissions=OF_USER, groups=make_groups())

    with django_assert_num_queries(1):
        found = of_session(user)

        assert found.has_perms([*OF_USER, "runs.cancel_run"])
        assert found.has_module_perms("runs")
        assert not found.has_perm("runs.download_payload")


def test_nobody_is_found_who_is_gone_or_inactive() -> None:
    user = make_user(permissions=OF_USER, is_active=False)

    assert UserAccessBackend().get_user(user.pk) is None
    assert UserAccessBackend().get_user(user.pk + 1) is None


def test_what_was_taken_away_is_gone_with_the_next_request(client: Client) -> None:
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
