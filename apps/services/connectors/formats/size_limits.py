"""Limits of what is held in memory at once."""

from __future__ import annotations

from django.conf import settings

from apps.services.connectors.base import ConnectorError

# Bytes of one read.
BLOCK_BYTES = 64 * 1024


def too_large(name: str, what: str) -> ConnectorError:
    """The error that `what` in the file `name` exceeds the limit."""
    return ConnectorError(
        f"{name}: {what} is larger than {settings.MAX_RESPONSE_BYTES / 2**20:g} MiB, the limit in memory. "
        "Raise SYNCLOG_MAX_RESPONSE_MIB if necessary."
    )
