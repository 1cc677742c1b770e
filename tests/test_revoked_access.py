"""Revoked access to a log ends with the next poll, in the console and in the API."""

from collections.abc import Callable

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client

from apps.api.models import ApiToken
from apps.runs.models import Run
from apps.services.models import Service
from tests.factories import make_log_entries, make_run, make_service, make_token, make_user

pytestmark = pytest.mark.django_db

LINE = "Pulled page 1"


@pytest.fixture
def run() -> Run:
    """A running run of a service that only the group `support` may see."""
    group = Group.objects.create(name="support")
    run = make_run(make_service(groups=[group]), status=Run.Status.RUNNING)
    make_log_entries(run, [LINE])
    return run


@pytest.fixture
def user(run: Run) -> User:
    permissions = ("services.view_service", "runs.view_run")
    return make_user(permissions=permissions, groups=run.service.groups.all())


def deactivate_user(user: User) -> None:
    User.objects.filter(pk=user.pk).update(is_active=False)


def remove_permissions(user: User) -> None:
    user.user_permissions.clear()


def remove_group(user: User) -> None:
    user.groups.clear()


def move_service_to_another_group(user: User) -> None:
    Service.objects.get().groups.set([Group.objects.create(name="others")])


def change_password(user: User) -> None:
    user.set_password("another")
    user.save()


def revoke_token(user: User) -> None:
    user.api_tokens.get().revoke()


def limit_token_to_another_service(user: User) -> None:
    user.api_tokens.get().services.set([make_service()])


def remove_scope(user: User) -> None:
    ApiToken.objects.update(scopes=["payload:read"])


@pytest.mark.parametrize(
    ("revoke", "status"),
    [
        (deactivate_user, 302),
        (change_password, 302),
        (remove_permissions, 403),
        (remove_group, 404),
        (move_service_to_another_group, 404),
    ],
)
def test_next_poll_of_the_console_is_rejected(
    client: Client, run: Run, user: User, revoke: Callable[[User], None], status: int
) -> None:
    client.force_login(user)
    path = f"/admin/runs/run/{run.pk}/log/feed/?after=0"
    before = client.get(path)

    revoke(user)

    after = client.get(path)
    assert (before.status_code, LINE in before.content.decode()) == (200, True)
    assert (after.status_code, LINE in after.content.decode()) == (status, False)


@pytest.mark.parametrize(
    ("revoke", "status"),
    [
        (deactivate_user, 401),
        (revoke_token, 401),
        (remove_scope, 403),
        (remove_permissions, 404),
        (remove_group, 404),
        (move_service_to_another_group, 404),
        (limit_token_to_another_service, 404),
    ],
)
def test_next_poll_of_the_api_is_rejected(
    run: Run, user: User, revoke: Callable[[User], None], status: int
) -> None:
    _token, secret = make_token(user, scopes=["run:read"])
    client = Client(headers={"Authorization": f"Bearer {secret}"})
    path = f"/api/v1/runs/{run.pk}/log/?after=0"
    before = client.get(path)

    revoke(user)

    after = client.get(path)
    assert (before.status_code, LINE in before.content.decode()) == (200, True)
    assert (after.status_code, LINE in after.content.decode()) == (status, False)
