"""Form that creates a token in the admin."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.auth import get_user_model
from django.utils.translation import gettext_lazy as _

from apps.api.models import DEFAULT_DAYS, DEFAULT_SCOPES, MAX_DAYS, ApiToken
from apps.services.models import Service


class TokenForm(forms.ModelForm):  # type: ignore[type-arg]  # It takes no parameter at run time.
    """A new token of `viewer`, or for a superuser of any user; `viewer` is set on the class for each request."""

    viewer: Any = None

    scopes = forms.MultipleChoiceField(
        label=_("Scopes"),
        choices=ApiToken.Scope.choices,
        initial=DEFAULT_SCOPES,
        widget=forms.CheckboxSelectMultiple,
        help_text=_("Scopes of the token. It can never do more than its user."),
    )
    services = forms.ModelMultipleChoiceField(
        label=_("Services"),
        queryset=Service.objects.none(),
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text=_("Empty: all services that the user may see."),
    )
    days = forms.IntegerField(
        label=_("Valid for (days)"), min_value=1, max_value=MAX_DAYS, initial=DEFAULT_DAYS
    )

    class Meta:
        model = ApiToken
        fields = ("name", "user", "scopes", "services")

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        users = get_user_model().objects.filter(is_active=True).order_by("username")
        if not self.viewer.is_superuser:
            users = users.filter(pk=self.viewer.pk)
        user_field: Any = self.fields["user"]
        user_field.queryset = users
        user_field.initial = self.viewer.pk
        # Without the links of the admin to add and change users.
        user_field.widget.can_add_related = user_field.widget.can_change_related = False
        user_field.widget.can_view_related = False
        services_field: Any = self.fields["services"]
        services_field.queryset = Service.objects.visible_to(self.viewer).order_by("name")

    def clean_scopes(self) -> list[str]:
        return sorted(self.cleaned_data["scopes"])
