"""State of the session, which settings forms check before they are sent."""

from django.http import HttpRequest, JsonResponse
from django.middleware.csrf import get_token


def session_state(request: HttpRequest) -> JsonResponse:
    """The CSRF token of the session, which may be newer than the form. Without a session the admin redirects."""
    return JsonResponse({"csrf_token": get_token(request)})
