"""`manage.py service_schema`: JSON Schema of service files."""

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from apps.services.definition.reference import option_reference
from apps.services.definition.schema import service_file_schema


class Command(BaseCommand):
    help = "Prints the JSON Schema (2020-12) of a file for `load_services`, so that editors complete and check it."
    # The checks take longer than the command.
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--reference", action="store_true", help="print the options page of the handbook instead"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["reference"]:
            self.stdout.write(option_reference(), ending="")
        else:
            self.stdout.write(json.dumps(service_file_schema(), indent=2))
