from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.alerts.delivery.sending import send_test_message
from apps.alerts.models import Channel, Delivery


class Command(BaseCommand):
    help = (
        "Sends a test message to a channel from this host, such as from a worker that has its own environment "
        "variables. The exit code is 1 if the channel does not accept it."
    )
    # The checks take longer than the command.
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="name of the channel")

    def handle(self, *args: Any, **options: Any) -> None:
        channel = Channel.objects.filter(name=options["name"]).first()
        if channel is None:
            names = ", ".join(Channel.objects.order_by("name").values_list("name", flat=True)[:20])
            raise CommandError(
                f"Unknown channel {options['name']!r}. Allowed: {names or 'none; add one first'}."
            )
        delivery = send_test_message(channel)
        if delivery.status != Delivery.Status.SENT:
            raise CommandError(f"Not delivered. {delivery.last_error}")
        self.stdout.write(f"The channel {channel.name} has accepted the message.")
