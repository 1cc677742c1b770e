"""The command `create_token`."""

from datetime import timedelta
from io import StringIO

import pytest
from django.contrib.auth.models import Group
from django.core.management import CommandError, call_command
from django.utils import timezone

from apps.api.models import ApiToken, digest, is_well_formed
from tests.api.conftest import client_of
from tests.factories import make_service, make_user

pytestmark = pytest.mark.django_db


def create_token(*arguments):
    stdout, stderr = StringIO(), StringIO()
    call_command("create_token", *arguments, stdout=stdout, stderr=stderr)
    return stdout.getvalue(), stderr.getvalue()


def test_stdout_is_a_working_token_and_nothing_else():
    make_user("ann", is_superuser=True)

    stdout, stderr = create_token("ann", "--name", "Nightly export")

    token = ApiToken.objects.get()
    assert is_well_formed(stdout.removesuffix("\n"))
    assert stdout.removesuffix("\n") not in stderr
    assert digest(stdout.removesuffix("\n")) == token.digest
    assert (token.name, token.user.username) == ("Nightly export", "ann")
    assert token.scopes == ["payload:read", "run:read", "run:start"]
    assert client_of(stdout.strip()).get("/api/v1/runs/").status_code == 200


@pytest.mark.parametrize(
    "arguments",
    [
        ("--scope", "run:read", "run:report"),
        ("--scope", "run:read", "--scope", "run:report"),
        ("--scope", "run:read,run:report"),
    ],
)
def test_scopes_are_repeated_or_separated_by_commas(arguments):
    make_user("ann")

    create_token("ann", "--name", "x", *arguments)

    assert ApiToken.objects.get().scopes == ["run:read", "run:report"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("--service", "orders", "stock"),
        ("--service", "orders", "--service", "stock"),
        ("--service", "orders,stock"),
    ],
)
def test_token_is_limited_to_the_named_services(arguments):
    make_user("ann", is_superuser=True)
    for slug in ("orders", "stock", "invoices"):
        make_service(slug=slug)

    stdout, stderr = create_token("ann", "--name", "x", *arguments)

    client = client_of(stdout.strip())
    slugs = [service["slug"] for service in client.get("/api/v1/services/").json()["results"]]
    assert sorted(slugs) == ["orders", "stock"]
    assert client.get("/api/v1/services/invoices/").status_code == 404
    assert "for orders, stock only" in stderr


@pytest.mark.parametrize(("arguments", "days"), [((), 90), (("--days", "1"), 1), (("--days", "365"), 365)])
def test_token_expires_after_the_given_days(arguments, days):
    make_user("ann")

    create_token("ann", "--name", "x", *arguments)

    lifetime = ApiToken.objects.get().expires_at - timezone.now()
    assert timedelta(days=days) - timedelta(minutes=1) < lifetime <= timedelta(days=days)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("nobody", "--name", "x"), "Unknown user “nobody”"),
        (("inactive", "--name", "x"), "not active"),
        (("ann", "--name", " "), "--name"),
        (("ann", "--name", "x" * 101), "100"),
        (("ann", "--name", "a\x00b"), "--name"),
        (("ann", "--name", "x", "--scope", "run:write"), "unknown scope run:write. Allowed: run:read"),
        (("ann", "--name", "x", "--scope", ","), "--scope"),
        (("ann", "--name", "x", "--days", "0"), "1 to 365"),
        (("ann", "--name", "x", "--days", "366"), "1 to 365"),
        (("ann", "--name", "x", "--days", "soon"), "invalid int value"),
        (("ann", "--name", "x", "--service", "secret"), "ann may not see the service secret"),
        (("ann", "--name", "x", "--service", "orders", "nowhere"), "may not see the service nowhere"),
        (("ann", "--name", "x", "--service", ","), "may not see the service (empty)"),
        (("ann",), "--name"),
    ],
)
def test_invalid_argument_is_an_error_that_creates_no_token(arguments, reason):
    make_user("ann", permissions=["services.view_service"])
    make_user("inactive", is_active=False)
    make_service(slug="orders")
    make_service(slug="secret", groups=[Group.objects.create(name="others")])

    with pytest.raises(CommandError) as caught:
        create_token(*arguments)

    assert reason in str(caught.value)
    assert not ApiToken.objects.exists()
