"""Puts Synclog's admin site in the place of Django's own."""

from django.contrib.admin.apps import AdminConfig


class SynclogAdminConfig(AdminConfig):
    default_site = "apps.console.site.SynclogAdminSite"
