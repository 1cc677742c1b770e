"""`manage.py export_services`: services and their connections as YAML."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.services.definition.export import export_services
from apps.services.models import Service


class Command(BaseCommand):
    help = (
        "Prints services and the connections that they use as YAML, which load_services imports unchanged. "
        "Without slugs, channels and rules are printed too. Secrets are left out; comments at the top list them."
    )
    # The checks take longer than the command.
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("slugs", nargs="*", metavar="SLUG", help="services to export; default: all")

    def handle(self, *args: Any, **options: Any) -> None:
        services = Service.objects.all()
        if slugs := set(options["slugs"]):
            services = services.filter(slug__in=slugs)
            if unknown := slugs - set(services.values_list("slug", flat=True)):
                raise CommandError(
                    f"Unknown service: {', '.join(sorted(unknown))}. The services list shows the slugs."
                )
        self.stdout.write(export_services(services, with_sections=not slugs), ending="")
