"""Lookups in the query string of an admin list: none on secrets, digests and lease tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib.admin import ModelAdmin
from django.http import HttpRequest

if TYPE_CHECKING:
    # Django's classes take a type parameter for the type checker only.
    _ModelAdmin = ModelAdmin[Any]
else:
    _ModelAdmin = object

SECRET_FIELDS = {
    "secret_encrypted",
    "passphrase_encrypted",
    "refresh_token_encrypted",
    "tokens_encrypted",
    "digest",
    "lease_token",
    "password",
    # That of a channel may contain a token, which the pages mask.
    "url",
}


class GuardedLookups(_ModelAdmin):
    """Refuses lookups that would reveal a secret field character by character."""

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        return SECRET_FIELDS.isdisjoint(lookup.split("__")) and super().lookup_allowed(lookup, value, request)


def with_guarded_lookups(admin_class: type[ModelAdmin[Any]]) -> type[ModelAdmin[Any]]:
    return type(admin_class.__name__, (GuardedLookups, admin_class), {"__module__": admin_class.__module__})
