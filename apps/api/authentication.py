"""Authentication with a token in the header `Authorization: Bearer …`."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

from django.utils.translation import gettext as _
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import APIException, AuthenticationFailed, Throttled
from rest_framework.request import Request

from apps.api.models import ApiToken, digest, is_well_formed
from apps.api.throttling import count_failure
from apps.services.user_access import USER_ACCESS, remember_access

# Built once and evaluated with every request.
_USABLE = ApiToken.objects.usable().with_limits().select_related("user").annotate(**USER_ACCESS)


class TokenAuthentication(BaseAuthentication):
    """Authenticates a usable token: `request.user` is its user, `request.auth` the token.

    A malformed token costs no query, a well-formed one a single lookup by digest. The response does not tell
    whether the token is unknown, expired or revoked.
    """

    def authenticate(self, request: Request) -> tuple[Any, ApiToken] | None:
        header = get_authorization_header(request).split()
        if not header:
            return None
        address = client_address(request)
        if header[0].lower() != b"bearer" or len(header) != 2:
            raise _failure(
                address, _("Invalid header; write “Authorization: Bearer”, followed by the token.")
            )
        secret = header[1].decode("latin-1")
        if not is_well_formed(secret):
            raise _failure(address, _("Malformed token; send the complete token."))
        try:
            token: Any = _USABLE.get(digest=digest(secret))
        except ApiToken.DoesNotExist:
            raise _failure(address, _("Unknown, expired or revoked token; create a new one.")) from None
        remember_access(token.user, token)
        token.touch(address)
        return token.user, token

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"


def _failure(address: str | None, reason: str) -> APIException:
    """The error for an invalid token: 401, or 429 after too many from one address.

    A valid token is accepted all the same: behind a proxy all clients may have the same address.
    """
    if wait := count_failure(address):
        return Throttled(wait, _("Too many invalid tokens from this address."))
    return AuthenticationFailed(reason)


def client_address(request: Request) -> str | None:
    """Address of the client; None for a connection through a socket file."""
    try:
        return str(ip_address(request.META.get("REMOTE_ADDR", "")))
    except ValueError:
        return None
