"""Who asks: the holder of a token in the header `Authorization: Bearer …`."""

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

# Put together once; it is asked anew with every request.
_USABLE = ApiToken.objects.usable().with_limits().select_related("user").annotate(**USER_ACCESS)


class TokenAuthentication(BaseAuthentication):
    """Lets a usable token in: `request.user` is its user, `request.auth` the token.

    What is no token costs no query, what looks like one costs a single look-up by digest. Why a token is not
    let in (unknown, expired, revoked) is not told apart for whoever shows it.
    """

    def authenticate(self, request: Request) -> tuple[Any, ApiToken] | None:
        header = get_authorization_header(request).split()
        if not header:
            return None
        address = client_address(request)
        if header[0].lower() != b"bearer" or len(header) != 2:
            raise _failure(address, _("Write the header as “Authorization: Bearer”, followed by the token."))
        secret = header[1].decode("latin-1")
        if not is_well_formed(secret):
            raise _failure(address, _("This is not a token of Synclog, or not the whole of it."))
        try:
            token: Any = _USABLE.get(digest=digest(secret))
        except ApiToken.DoesNotExist:
            raise _failure(address, _("The token is unknown, has expired or was revoked.")) from None
        remember_access(token.user, token)
        token.touch(address)
        return token.user, token

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"


def _failure(address: str | None, reason: str) -> APIException:
    """What a wrong token is answered with: 401, or 429 after too many of them from one address.

    A right one is let in all the same: behind a proxy everybody may have the same address.
    """
    if wait := count_failure(address):
        return Throttled(wait, _("Too many wrong tokens came from this address."))
    return AuthenticationFailed(reason)


def client_address(request: Request) -> str | None:
    """The address that the connection came from; None where it came through a socket file."""
    try:
        return str(ip_address(request.META.get("REMOTE_ADDR", "")))
    except ValueError:
        return None
