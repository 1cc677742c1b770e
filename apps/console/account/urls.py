"""Routes of django-allauth: only the pages that the console has."""

from __future__ import annotations

from typing import Any

from allauth.account import views as account
from django.urls import URLPattern, path
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST

from apps.console.account.views import LoginView, View, console_page


def _page(route: str, view: View, name: str, title: Any) -> URLPattern:
    return path(route, console_page(view, title), name=name)


urlpatterns = [
    # The same addresses as those of Django's admin, which they replace.
    _page("login/", LoginView.as_view(), "account_login", _("Log in")),
    path("logout/", require_POST(account.logout), name="account_logout"),
]
