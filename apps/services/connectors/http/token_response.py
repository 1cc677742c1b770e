"""Responses of token endpoints: their document, or the reason why there is none."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django.utils import timezone

from apps.services.connectors.base import ConnectorError
from apps.services.connectors.formats.documents import excerpt
from apps.services.connectors.http.messages import HttpResponse

# What to do about the errors of RFC 6749, 5.2.
_ADVICE = {
    "invalid_client": "The client ID or the secret is wrong; correct them in the connection",
    "invalid_grant": (
        "The refresh token is invalid, expired or revoked; authorize Synclog again, and enter the new refresh token "
        "in the connection"
    ),
    "invalid_scope": "The scope is wrong; correct it in the connection",
    "unauthorized_client": "The client may not use this grant; choose another one, or allow it in the other system",
    "unsupported_grant_type": "The other system does not support this grant; choose another one in the connection",
}


def document_in(response: HttpResponse, shown: str) -> Mapping[str, Any]:
    """The document of a successful response. Raises ConnectorError with the reason of any other."""
    document = _parsed(response)
    if 300 <= response.status < 400:
        raise ConnectorError(f"{shown}; enter the final address as the token URL.")
    if code := error_in(response):
        details = (document or {}).get("error_description")
        reason = code if not details else f"{code}: {details}"
        advice = _ADVICE.get(code, "Check the authentication of the connection")
        raise ConnectorError(f"{shown} ({excerpt(reason.encode(errors='replace'))}). {advice}.")
    if response.status >= 300:
        raise ConnectorError(f"{shown}: {response.excerpt}. Check the token URL.")
    if document is None:
        raise ConnectorError(
            f"{shown}, but the response ({response.content_type or 'without a content type'}) is not a JSON object. "
            f"Check the token URL. It begins: {excerpt(response.content[:40])}"
        )
    return document


def _parsed(response: HttpResponse) -> dict[str, Any] | None:
    try:
        document = json.loads(response.content)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def error_in(response: HttpResponse) -> str:
    """The code of an error response, which some systems send with status 200."""
    code = (_parsed(response) or {}).get("error")
    return code if isinstance(code, str) else ""


def seconds_in(document: Mapping[str, Any]) -> float | None:
    """`expires_in`, also if it is text; None if it is missing or invalid: the token is then valid until rejected."""
    try:
        seconds = float(document["expires_in"])
    except (KeyError, TypeError, ValueError):
        return None
    return min(seconds, 10.0**9) if seconds > 0 else None


def validity(seconds: float | None) -> str:
    if seconds is None:
        return ", used until it is rejected"
    return f", valid until {timezone.now() + timedelta(seconds=seconds):%Y-%m-%d %H:%M} UTC"
