"""Versions of the custom scripts of services."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from apps.services.models.service import Service


class Script(models.Model):
    """One version of the custom script of a service. Runs refer to the version that they used."""

    # Deleted with the service, unless runs refer to it.
    service = models.ForeignKey(Service, models.CASCADE, related_name="scripts", verbose_name=_("service"))
    version = models.PositiveIntegerField(_("version"))
    # Empty = the service has no script from this version on.
    source = models.TextField(_("source"), blank=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, verbose_name=_("created by")
    )
    created_at = models.DateTimeField(_("created"), db_default=Now())

    class Meta:
        verbose_name = _("script")
        verbose_name_plural = _("scripts")
        constraints = [
            models.UniqueConstraint(fields=["service", "version"], name="script_version_unique"),
        ]

    def __str__(self) -> str:
        return f"{self.service.slug} v{self.version}"
