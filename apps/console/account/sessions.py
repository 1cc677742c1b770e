"""Sessions page: where a user is logged in, and how to end that."""

from __future__ import annotations

import re
from typing import Any

from allauth.usersessions.internal.flows.sessions import end_sessions
from allauth.usersessions.models import UserSession
from allauth.usersessions.views import ListUserSessionsView
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _

# In the order in which they are looked for: most browsers also name those that they imitate.
_BROWSERS = {"Edg": "Edge", "OPR": "Opera", "Firefox": "Firefox", "Chrome": "Chrome", "Safari": "Safari"}
_SYSTEMS = {
    "iPhone": "iPhone",
    "iPad": "iPad",
    "Android": "Android",
    "Windows": "Windows",
    "Mac OS X": "macOS",
    "CrOS": "ChromeOS",
    "Linux": "Linux",
}


def describe_client(user_agent: str) -> str:
    """Browser and system, such as “Firefox on Windows”."""
    browser = next((name for sign, name in _BROWSERS.items() if re.search(rf"\b{sign}\w*/", user_agent)), "")
    system = next((name for sign, name in _SYSTEMS.items() if sign in user_agent), "")
    if browser and system:
        return _("%(browser)s on %(system)s") % {"browser": browser, "system": system}
    return browser or system or _("Unknown browser")


class SessionsView(ListUserSessionsView):
    def get_context_data(self, **options: Any) -> dict[str, Any]:
        if not UserSession.objects.filter(session_key=self.request.session.session_key).exists():
            # Sessions that did not begin on the login page.
            UserSession.objects.create_from_request(self.request)
        context: dict[str, Any] = super().get_context_data(**options)
        context["sessions"] = sorted(
            context["sessions"], key=lambda session: session.created_at, reverse=True
        )
        for session in context["sessions"]:
            session.client = describe_client(session.user_agent)
        return context


def end_session(request: HttpRequest, pk: int) -> HttpResponse:
    session = get_object_or_404(UserSession, pk=pk, user_id=request.user.pk)
    end_sessions(request, [session])
    return redirect("usersessions_list")
