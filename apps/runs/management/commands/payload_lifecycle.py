import json
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.files.storage import storages
from django.core.management.base import BaseCommand

from apps.runs.payloads.bucket_policy import lifecycle_rules, tls_policy


class Command(BaseCommand):
    help = (
        "Prints rules for the payload bucket as JSON: a lifecycle (forgotten objects expire, abandoned "
        "uploads are removed) for `aws s3api put-bucket-lifecycle-configuration "
        "--lifecycle-configuration`, and a policy (TLS only) for `aws s3api put-bucket-policy --policy`."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "part", choices=("lifecycle", "policy"), nargs="?", help="one of the two; default: both"
        )

    def handle(self, *args: Any, part: str | None, **options: Any) -> None:
        bucket = getattr(storages["payloads"], "bucket_name", "") or "BUCKET"
        parts = {"lifecycle": lifecycle_rules(settings.PAYLOAD_RETENTION), "policy": tls_policy(bucket)}
        self.stdout.write(json.dumps(parts[part] if part else parts, indent=2))
