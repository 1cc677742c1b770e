"""Second factors that every user must have (SYNCLOG_REQUIRE_2FA)."""

from __future__ import annotations

from allauth.account.authentication import get_authentication_records
from allauth.mfa.models import Authenticator
from allauth.mfa.utils import is_mfa_enabled
from django.conf import settings
from django.http import HttpRequest


def lacks_second_factor(request: HttpRequest) -> bool:
    """Whether the user of the session must set up a second factor before anything else."""
    if not settings.REQUIRE_2FA or not request.user.is_authenticated:
        return False
    if any(
        record["method"] == "socialaccount" for record in get_authentication_records(request, request.user)
    ):
        # The OpenID provider has checked it.
        return False
    return not is_mfa_enabled(request.user, [Authenticator.Type.TOTP, Authenticator.Type.WEBAUTHN])
