"""Storage of payloads: the configured bucket, or a folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ImproperlyConfigured

from config.environment import read_choice, read_text

if TYPE_CHECKING:
    from boto3.s3.transfer import TransferConfig

# Minimum size and maximum number of the parts of an S3 upload.
_MIN_PART_BYTES = 5 * 1024 * 1024
_MAX_PARTS = 10_000


def payload_storage(folder: Path, max_payload_bytes: int) -> dict[str, Any]:
    """`STORAGES["payloads"]` for objects of up to `max_payload_bytes`."""
    bucket, encryption = read_text("AWS_STORAGE_BUCKET_NAME"), _encryption()
    if bucket:
        options = _s3_options(bucket, encryption, max_payload_bytes)
        return {"BACKEND": "storages.backends.s3.S3Storage", "OPTIONS": options}
    return {
        "BACKEND": "django.core.files.storage.FileSystemStorage",
        "OPTIONS": {
            "location": folder,
            "file_permissions_mode": 0o600,
            "directory_permissions_mode": 0o700,
        },
    }


def _s3_options(bucket: str, encryption: dict[str, str], max_payload_bytes: int) -> dict[str, Any]:
    # Only with S3, because the import delays the start of every process.
    from botocore.config import Config

    endpoint = read_text("AWS_S3_ENDPOINT_URL")
    return {
        "bucket_name": bucket,
        "endpoint_url": endpoint or None,
        "region_name": read_text("AWS_S3_REGION_NAME") or None,
        "access_key": read_text("AWS_ACCESS_KEY_ID") or None,
        "secret_key": read_text("AWS_SECRET_ACCESS_KEY") or None,
        "default_acl": None,
        "querystring_auth": True,
        "object_parameters": encryption,
        "transfer_config": multipart_config(max_payload_bytes),
        "client_config": Config(
            signature_version="s3v4",
            # Servers other than AWS rarely have a host name for each bucket.
            s3={"addressing_style": "path" if endpoint else "auto"},
            connect_timeout=5,
            read_timeout=30,
            retries={"mode": "standard", "total_max_attempts": 3},
        ),
    }


def multipart_config(max_payload_bytes: int) -> TransferConfig:
    """Parts one after another: an upload holds at most three of them in memory."""
    # Only with S3, because the import delays the start of every process.
    from boto3.s3.transfer import TransferConfig

    part_bytes = max(_MIN_PART_BYTES, -(-max_payload_bytes // _MAX_PARTS))
    return TransferConfig(multipart_threshold=part_bytes, multipart_chunksize=part_bytes, use_threads=False)


def _encryption() -> dict[str, str]:
    """Encryption that each upload requests."""
    kind = read_choice("AWS_S3_SSE", "", ("", "AES256", "aws:kms"))
    key = read_text("AWS_S3_KMS_KEY_ID")
    if key and kind != "aws:kms":
        raise ImproperlyConfigured(
            "AWS_S3_KMS_KEY_ID is set, and AWS_S3_SSE is not aws:kms; set both or neither."
        )
    return {name: value for name, value in (("ServerSideEncryption", kind), ("SSEKMSKeyId", key)) if value}
