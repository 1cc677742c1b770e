"""Hands out what is kept, while it may be read."""

from __future__ import annotations

from typing import IO

from botocore.exceptions import ClientError
from django.core.files.storage import storages

from apps.runs.models import Payload


class PayloadGone(Exception):
    """The payload can no longer be read: expired, deleted, or not to be found in the store."""


def open_payload(payload: Payload) -> IO[bytes]:
    """A stream over the stored bytes; the caller closes it.

    Whether it may still be read is for the database's clock to say. Raises PayloadGone.
    """
    current = Payload.objects.listed().with_state().filter(pk=payload.pk).first()
    if current is None or current.state != "stored":
        raise PayloadGone(f"The payload is {current.state if current else 'gone'}.")
    try:
        return storages["payloads"].open(payload.key, "rb")
    except FileNotFoundError:
        raise PayloadGone("The payload is not in the store.") from None
    except ClientError as error:
        if error.response["Error"]["Code"] in {"404", "NoSuchKey"}:
            raise PayloadGone("The payload is not in the store.") from None
        raise
