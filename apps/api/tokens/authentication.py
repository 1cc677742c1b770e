"""Authentication with a token in the header `Authorization: Bearer …`."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

from django.utils.translation import gettext as _
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import APIException, AuthenticationFailed, Throttled
from rest_framework.request import Request

from apps.api.models import ApiToken, digest, is_well_formed
from apps.api.tokens.throttling import count_failure
from apps.services.user_access import USER_ACCESS, remember_access

# Built once and evaluated with every request.
_USABLE_TOKENS = ApiToken.objects.usable().with_limits().select_related("user").annotate(**USER_ACCESS)


class TokenAuthentication(BaseAuthentication):
    """Authenticates a usable token: `request.user` is its user, `request.auth` the token.

    A malformed token costs no query, a well-formed one a single lookup by digest. The response does not reveal
    whether the token is unknown, expired or revoked.
    """

    def authenticate(self, request: Request) -> tuple[Any, ApiToken] | None:
        header = get_authorization_header(request).split()
        if not header:
            return None
        address = client_address(request)
        if header[0].lower() != b"bearer" or len(header) != 2:
            message = _("Invalid header; write “Authorization: Bearer”, followed by the token.")
            raise _failure(address, message)
        secret = header[1].decode("latin-1")
        if not is_well_formed(secret):
            raise _failure(address, _("Malformed token; send the complete token."))
        try:
            token: Any = _USABLE_TOKENS.get(digest=digest(secret))
        except ApiToken.DoesNotExist:
            message = _("Unknown, expired or revoked token; create a new one.")
            raise _failure(address, message) from None
        remember_access(token.user, token)
        token.record_use(address)
        return token.user, token

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"


def _failure(address: str | None, message: str) -> APIException:
    """The error for an invalid token: 401, or 429 after too many from one address.

    Valid tokens from this address are still accepted: behind a proxy all clients may have the same address.
    """
    if wait := count_failure(address):
        return Throttled(wait, _("Too many invalid tokens from this address."))
    return AuthenticationFailed(message)


def client_address(request: Request) -> str | None:
    """Address of the client; None for a connection through a Unix socket."""
    try:
        return str(ip_address(request.META.get("REMOTE_ADDR", "")))
    except ValueError:
        return None
