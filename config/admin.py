"""Admin site of Synclog in place of Django's."""

from django.contrib.admin.apps import AdminConfig


class SynclogAdminConfig(AdminConfig):
    default_site = "apps.console.site.SynclogAdminSite"
