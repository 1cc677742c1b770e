"""Views of django-allauth as pages of the console."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from allauth.account import views as account
from django.conf import settings
from django.contrib import admin
from django.contrib.auth import logout
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import redirect
from django.template.response import TemplateResponse

from apps.console.account.second_factor import lacks_second_factor

View = Callable[..., HttpResponseBase]


def console_page(view: View, title: Any) -> View:
    """The view with the context of all pages of the console."""

    @wraps(view)
    def page(request: HttpRequest, *args: Any, **options: Any) -> HttpResponseBase:
        response = view(request, *args, **options)
        if isinstance(response, TemplateResponse) and not response.is_rendered:
            context = {
                **admin.site.each_context(request),
                "title": title,
                "lacks_second_factor": lacks_second_factor(request),
            }
            response.context_data = context | (response.context_data or {})
        return response

    return page


class LoginView(account.LoginView):
    def dispatch(self, request: HttpRequest, *args: Any, **options: Any) -> HttpResponseBase:
        if request.user.is_authenticated and not admin.site.has_permission(request):
            # Otherwise this page and the page that it redirects to would redirect to each other.
            logout(request)
        response: HttpResponseBase = super().dispatch(request, *args, **options)
        return response

    def get_context_data(self, **options: Any) -> dict[str, Any]:
        provider = settings.OPENID_PROVIDER
        context: dict[str, Any] = super().get_context_data(**options)
        return context | {"provider_name": provider.name if provider else ""}


def password_change(request: HttpRequest) -> HttpResponseBase:
    if request.user.is_authenticated and not request.user.has_usable_password():
        # A user of the identity provider.
        return redirect("admin:index")
    response: HttpResponseBase = account.password_change(request)
    return response


def password_reset(request: HttpRequest) -> HttpResponseBase:
    if not settings.HAS_MAIL_SERVER:
        return TemplateResponse(request, "console/account/no_mail.html")
    response: HttpResponseBase = account.password_reset(request)
    return response
