from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction
from django.utils import timezone

from apps.api.models import DEFAULT_DAYS, DEFAULT_SCOPES, MAX_DAYS, ApiToken
from apps.audit.changes import field_values
from apps.audit.recording import record_command_change
from apps.services.models import Service


class Command(BaseCommand):
    help = (
        "Creates an API token for a user and prints it, once: only its digest is stored. The token goes "
        "to stdout, everything else to stderr."
    )
    # The checks take longer than the command.
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("username", help="the user of the token, which can never do more than this user")
        parser.add_argument("--name", required=True, help="name that distinguishes the token from others")
        parser.add_argument(
            "--scope",
            action="extend",
            nargs="+",
            metavar="SCOPE",
            help=f"one or several of {', '.join(ApiToken.Scope.values)} (default: {' '.join(DEFAULT_SCOPES)})",
        )
        parser.add_argument(
            "--service",
            action="extend",
            nargs="+",
            metavar="SLUG",
            default=[],
            help="only for these services (default: all that the user may see)",
        )
        parser.add_argument(
            "--days",
            type=int,
            default=DEFAULT_DAYS,
            help=f"lifetime in days, from 1 to {MAX_DAYS} (default: {DEFAULT_DAYS})",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        user = _user(options["username"])
        services = _services(options["service"], user)
        with transaction.atomic():
            token, secret = ApiToken.issue(
                user=user,
                name=_name(options["name"]),
                scopes=_scopes(options["scope"] or DEFAULT_SCOPES),
                services=services,
                expires_at=timezone.now() + timedelta(days=_days(options["days"])),
            )
            record_command_change("create_token", token, None, field_values(token))
        self.stdout.write(secret)
        self.stderr.write(
            f"Token “{token.name}” of {token.user} is valid until {token.expires_at:%Y-%m-%d %H:%M} UTC "
            f"with the scopes {', '.join(token.scopes)}{_for_services(services)}. It is not shown again."
        )


def _user(username: str) -> Any:
    users = get_user_model().objects
    user: Any = users.filter(username=username).first()
    if user is None:
        raise CommandError(f"Unknown user “{username}”. Users are listed in the console.")
    if not user.is_active:
        raise CommandError(f"The user “{username}” is not active; a token would not work.")
    return user


def _name(name: str) -> str:
    field: Any = ApiToken._meta.get_field("name").formfield()
    try:
        cleaned = field.clean(name)
    except ValidationError as error:
        raise CommandError(f"--name: {' '.join(error.messages)}") from None
    return str(cleaned)


def _scopes(given: list[str]) -> set[str]:
    scopes = {scope for text in given for scope in text.split(",") if scope}
    unknown = sorted(scopes - set(ApiToken.Scope.values))
    if unknown or not scopes:
        raise CommandError(
            f"--scope: unknown scope {', '.join(unknown) or '(empty)'}. Allowed: {', '.join(ApiToken.Scope.values)}."
        )
    return scopes


def _services(given: list[str], user: Any) -> list[Service]:
    slugs = {slug for text in given for slug in text.split(",") if slug}
    services = list(Service.objects.visible_to(user).filter(slug__in=slugs).order_by("slug"))
    unknown = sorted(slugs - {service.slug for service in services})
    # An empty list would mean all services.
    if unknown or (given and not slugs):
        raise CommandError(f"--service: {user} may not see the service {', '.join(unknown) or '(empty)'}.")
    return services


def _for_services(services: list[Service]) -> str:
    return f", for {', '.join(service.slug for service in services)} only" if services else ""


def _days(days: int) -> int:
    if not 1 <= days <= MAX_DAYS:
        raise CommandError(f"--days: {days} is not from 1 to {MAX_DAYS}.")
    return days
