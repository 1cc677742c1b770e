"""The time zone that a user chose for the console."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from apps.services.schedule import validate_timezone


class UserTimeZone(models.Model):
    """Time zone in which a user sees times; without a row, that of the browser."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, models.CASCADE, primary_key=True, related_name="+", verbose_name=_("user")
    )
    name = models.CharField(_("time zone"), max_length=64, validators=[validate_timezone])

    class Meta:
        verbose_name = _("time zone of a user")
        verbose_name_plural = _("time zones of users")

    def __str__(self) -> str:
        return self.name

    @classmethod
    def choose(cls, user: Any, name: str) -> None:
        """Stores the zone of `user`; an empty name is the zone of the browser."""
        if name:
            cls.objects.update_or_create(user_id=user.pk, defaults={"name": name})
        else:
            cls.objects.filter(user_id=user.pk).delete()
