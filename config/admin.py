"""Admin site of Synclog in place of Django's; its pages are loaded with the URLconf."""

from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.contrib import admin
from django.contrib.admin.apps import SimpleAdminConfig
from django.contrib.admin.checks import check_admin_app, check_dependencies
from django.core import checks


class SynclogAdminConfig(SimpleAdminConfig):
    default_site = "apps.console.site.SynclogAdminSite"

    def ready(self) -> None:
        checks.register(check_dependencies, checks.Tags.admin)
        checks.register(check_pages, checks.Tags.admin)


def check_pages(app_configs: Sequence[AppConfig] | None, **options: Any) -> list[checks.CheckMessage]:
    """Loads the pages first: most commands do without them."""
    admin.autodiscover()
    return check_admin_app(app_configs, **options)
