from argparse import ArgumentParser
from typing import Any

from allauth.mfa.models import Authenticator
from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction
from django.utils.translation import gettext_noop as _

from apps.audit.models import Action
from apps.audit.recording import record_event


class Command(BaseCommand):
    help = (
        "Removes the authenticator app, the passkeys and the recovery codes of a user who has lost them, so that the "
        "password suffices for the next login."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("username")

    def handle(self, *args: Any, **options: Any) -> None:
        user = User.objects.filter(username=options["username"]).first()
        if user is None:
            raise CommandError(f"Unknown user {options['username']!r}. Users are listed in the console.")
        with transaction.atomic():
            _count, removed = Authenticator.objects.filter(user=user).delete()
            record_event(
                Action.FACTOR_CHANGED,
                command="remove_second_factors",
                subject=user,
                detail=_("All second factors removed"),
            )
        self.stdout.write(f"Removed {sum(removed.values())} second factors of {user.username}.")
