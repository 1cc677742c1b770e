"""Forms of django-allauth with the labels of the console."""

from __future__ import annotations

from typing import Any

from allauth.account import forms as account_forms
from django.contrib.auth.models import User
from django.utils.translation import gettext_lazy as _


class LoginForm(account_forms.LoginForm):
    """Username and password."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.label_suffix = ""
        self.fields["login"].label = _("Username")
        self.fields["login"].widget.attrs = {"autocomplete": "username", "autofocus": True}
        self.fields["password"].widget.attrs = {"autocomplete": "current-password"}

    def add_prefix(self, field_name: str) -> str:
        """The field is named as that of Django's admin, on which password managers and scripts rely."""
        return str(super().add_prefix("username" if field_name == "login" else field_name))


class ResetPasswordForm(account_forms.ResetPasswordForm):
    """The address of an account with a password; users of the identity provider get none by mail."""

    def clean_email(self) -> str:
        email: str = self.cleaned_data["email"]
        users = User.objects.filter(email__iexact=email, is_active=True, is_staff=True)
        # Databases also find addresses with similar letters, which may belong to somebody else.
        self.users = [
            user for user in users if user.email.lower() == email.lower() and user.has_usable_password()
        ]
        return email
