from argparse import ArgumentParser
from typing import Any

from allauth.mfa.models import Authenticator
from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError


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
            raise CommandError(f"User {options['username']!r} not found.")
        _count, removed = Authenticator.objects.filter(user=user).delete()
        self.stdout.write(f"Removed {sum(removed.values())} second factors of {user.username}.")
