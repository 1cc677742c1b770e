"""Idempotency keys: a repeated request starts no second run."""

from __future__ import annotations

from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers
from rest_framework.request import Request

from apps.api.http.problems import IdempotencyKeyReused
from apps.runs.models import Run

_HEADER = "Idempotency-Key"
_MAX_LENGTH = 200

IDEMPOTENCY_PARAMETER = OpenApiParameter(
    _HEADER,
    {"type": "string", "minLength": 1, "maxLength": _MAX_LENGTH},
    OpenApiParameter.HEADER,
    description="Any unique value such as a UUID; printable ASCII.",
)


def idempotency_key(request: Request) -> str | None:
    """Value of the header, None if it is missing. Raises ValidationError if it is invalid."""
    key = request.headers.get(_HEADER)
    if key is None:
        return None
    key = key.strip()
    if not (1 <= len(key) <= _MAX_LENGTH and key.isascii() and key.isprintable()):
        message = _("Write 1 to %(most)d printable ASCII characters.") % {"most": _MAX_LENGTH}
        raise serializers.ValidationError({_HEADER: [message]})
    return key


def key_reused(run: Run) -> IdempotencyKeyReused:
    """The error for a key with which another request started this run."""
    return IdempotencyKeyReused(
        _("Run %(number)d was started with this key and another body; use a new key.") % {"number": run.pk}
    )
