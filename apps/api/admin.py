"""Admin of API tokens: created, shown once, revoked, never changed."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.options import ActionLocation
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.http import require_POST

from apps.api.models import ApiToken
from apps.api.tokens.form import TokenForm

_STATES = {
    "active": gettext_lazy("Active"),
    "expiring": gettext_lazy("Expires soon"),
    "expired": gettext_lazy("Expired"),
    "revoked": gettext_lazy("Revoked"),
    "user_inactive": gettext_lazy("User is not active"),
}
_ADD_FIELDS = ("name", "user", "scopes", "services", "days")
_READONLY_FIELDS = (
    "prefix_text",
    "user",
    "scope_names",
    "service_names",
    "state_name",
    "created_at",
    "expires_at",
    "revoked_at",
    "last_used_at",
    "last_used_from",
)


@admin.register(ApiToken)
class ApiTokenAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # It takes no parameter at run time.
    """The tokens of the current user; for a superuser, all."""

    list_display = (
        "name",
        "state_name",
        "prefix_text",
        "user",
        "scope_names",
        "created_at",
        "expires_at",
        "last_used_at",
    )
    list_select_related = ("user",)
    search_fields = ("name", "prefix", "user__username")
    search_help_text = gettext_lazy("Name, prefix or user")
    ordering = ("-created_at", "-pk")
    show_full_result_count = False
    actions = ("revoke_tokens",)
    csv_name = "tokens"
    csv_columns = (
        ("name", "name"),
        ("state", "state"),
        ("prefix", "prefix"),
        ("user", "user__username"),
        ("scopes", "scopes"),
        ("created at (UTC)", "created_at"),
        ("expires at (UTC)", "expires_at"),
        ("revoked at (UTC)", "revoked_at"),
        ("last used at (UTC)", "last_used_at"),
        ("last used from", "last_used_from"),
    )

    # --- Permissions ---

    def get_queryset(self, request: HttpRequest) -> QuerySet[ApiToken]:
        tokens = ApiToken.objects.with_state()
        user: Any = request.user
        return tokens if user.is_superuser else tokens.filter(user=user)

    def has_delete_permission(self, request: HttpRequest, obj: ApiToken | None = None) -> bool:
        """Only an unused token can be deleted; a used one stays as a record and can be revoked."""
        return super().has_delete_permission(request, obj) and (obj is None or obj.last_used_at is None)

    def get_actions(
        self, request: HttpRequest, action_location: ActionLocation = ActionLocation.CHANGE_LIST
    ) -> dict[str, Any]:
        actions: dict[str, Any] = super().get_actions(request, action_location=action_location)
        # Django's bulk deletion would ignore whether a token was used.
        actions.pop("delete_selected", None)
        return actions

    # --- Creation ---

    def get_form(
        self, request: HttpRequest, obj: ApiToken | None = None, change: bool = False, **options: Any
    ) -> Any:
        if obj is not None:
            return super().get_form(request, obj, change, **options)
        form: Any = super().get_form(request, obj, change, form=TokenForm, **options)
        form.viewer = request.user
        return form

    def get_fields(self, request: HttpRequest, obj: ApiToken | None = None) -> Any:
        return _ADD_FIELDS if obj is None else ("name", *_READONLY_FIELDS)

    def get_readonly_fields(self, request: HttpRequest, obj: ApiToken | None = None) -> Any:
        return () if obj is None else _READONLY_FIELDS

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        if change:
            obj.save(update_fields=["name"])
            return
        obj.expires_at = timezone.now() + timedelta(days=form.cleaned_data["days"])
        obj.secret = obj.set_new_secret()
        obj.save()

    def response_add(
        self, request: HttpRequest, obj: Any, post_url_continue: str | None = None
    ) -> HttpResponse:
        """Shows the token in clear text in this response only: it passes through no session, message or redirect."""
        context = self.admin_site.each_context(request) | {
            "title": _("Copy the token now"),
            "opts": self.opts,
            "token": obj,
            "secret": obj.secret,
            "api_url": request.build_absolute_uri(reverse("api:run-list")),
        }
        return TemplateResponse(
            request,
            "admin/api/apitoken/issued.html",
            context,
            headers={"Cache-Control": "private, no-store"},
        )

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        context = {
            "show_save_and_add_another": False,
            "show_save_and_continue": False,
            **(extra_context or {}),
        }
        return super().changeform_view(request, object_id, form_url, context)

    # --- Revocation ---

    def get_urls(self) -> list[URLPattern]:
        revoke = self.admin_site.admin_view(require_POST(self.revoke_view))
        return [path("<int:token_id>/revoke/", revoke, name="api_apitoken_revoke"), *super().get_urls()]

    def revoke_view(self, request: HttpRequest, token_id: int) -> HttpResponse:
        token = self.get_queryset(request).filter(pk=token_id).first()
        if token is None:
            raise Http404
        if not self.has_change_permission(request, token):
            raise PermissionDenied
        with transaction.atomic():
            token.revoke()
            self.log_change(request, token, _("Revoked."))
        self.message_user(request, _("“%(token)s” is revoked.") % {"token": token}, messages.SUCCESS)
        return HttpResponseRedirect(reverse("admin:api_apitoken_change", args=(token.pk,)))

    @admin.action(permissions=["change"], description=gettext_lazy("Revoke selected tokens"))
    def revoke_tokens(self, request: HttpRequest, queryset: QuerySet[ApiToken]) -> None:
        tokens = [token for token in queryset if token.revoked_at is None]
        for token in tokens:
            token.revoke()
            self.log_change(request, token, _("Revoked."))
        message = ngettext("%(count)d token is revoked.", "%(count)d tokens are revoked.", len(tokens))
        self.message_user(request, message % {"count": len(tokens)}, messages.SUCCESS)

    # --- Columns ---

    @admin.display(description=gettext_lazy("prefix"))
    def prefix_text(self, token: ApiToken) -> str:
        return f"{token.prefix}…"

    @admin.display(description=gettext_lazy("scopes"))
    def scope_names(self, token: ApiToken) -> str:
        return ", ".join(token.scopes)

    @admin.display(description=gettext_lazy("services"))
    def service_names(self, token: ApiToken) -> str:
        return ", ".join(token.services.order_by("name").values_list("name", flat=True)) or _(
            "All services of the user"
        )

    @admin.display(description=gettext_lazy("state"))
    def state_name(self, token: ApiToken) -> str:
        return str(_STATES[token.state])
