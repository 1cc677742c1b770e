"""Channels that alerts are sent to."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from typing import Self
from urllib.parse import urlsplit

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Coalesce
from django.utils.translation import gettext_lazy as _

from apps.audit.changes import Masked, Values, column_values
from apps.audit.masking import MASK
from apps.services.definition.connection_url import without_secrets
from apps.services.models.stored_secret import StoredSecret
from apps.services.secrets import SecretUnavailable

# A part of a path that is probably a token: long, with a digit.
_PATH_TOKEN = re.compile(r"(?<=/)(?=[^/]*\d)[^/]{16,}(?=/|$)")


class ChannelQuerySet(models.QuerySet["Channel"]):
    def failing(self) -> Self:
        """Active channels whose last attempt failed."""
        return self.filter(is_active=True, failing_since__isnull=False)


class Channel(StoredSecret, models.Model):
    """A group of recipients of alerts: mail addresses, a chat, or a system with a webhook."""

    class Kind(models.TextChoices):
        EMAIL = "email", _("Email")  # `to` has the addresses.
        APPRISE = "apprise", _("Apprise")  # The secret is the URL.
        WEBHOOK = "webhook", _("Webhook")  # `url` is the address; the secret signs the requests.

    name = models.SlugField(
        _("name"), max_length=100, unique=True, help_text=_("Name in rules and YAML files.")
    )
    kind = models.CharField(_("kind"), max_length=10, choices=Kind)

    # List of addresses.
    to = models.JSONField(_("addresses"), default=list, blank=True)
    url = models.CharField(
        _("URL"),
        max_length=500,
        blank=True,
        help_text=_("Address of the webhook, such as https://pager.example/in."),
    )
    secret_env = models.CharField(
        _("secret from environment variable"),
        max_length=100,
        blank=True,
        help_text=_(
            "Environment variable of the workers that contains the secret, such as PAGER_SECRET. "
            "Replaces a stored secret."
        ),
    )
    secret_encrypted = models.TextField(_("secret"), blank=True, editable=False)
    language = models.CharField(
        _("language"),
        max_length=10,
        choices=settings.LANGUAGES,
        default=settings.LANGUAGE_CODE,
        help_text=_("Language of the messages."),
    )
    is_active = models.BooleanField(
        _("active"), default=True, help_text=_("An inactive channel receives no messages.")
    )

    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    updated_at = models.DateTimeField(_("updated"), auto_now=True)

    # Null: the last attempt succeeded, or there was none.
    failing_since = models.DateTimeField(_("failing since"), null=True, editable=False)
    last_error = models.TextField(_("error"), blank=True, editable=False)
    last_sent_at = models.DateTimeField(_("last sent"), null=True, editable=False)

    objects = ChannelQuerySet.as_manager()

    class Meta:
        verbose_name = _("channel")
        verbose_name_plural = _("channels")
        constraints = [
            models.CheckConstraint(
                condition=Q(kind__in=["email", "apprise", "webhook"]), name="channel_kind_known"
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def masked_url(self) -> str:
        """The URL for display, with masks instead of secrets in its query and its path."""
        parts = urlsplit(without_secrets(self.url))
        return parts._replace(path=_PATH_TOKEN.sub(MASK, parts.path)).geturl()

    def audit_values(self) -> Values:
        """Values for the audit log."""
        return column_values(self) | {"url": Masked(self.url, self.masked_url)}

    def record_success(self, now: datetime) -> None:
        Channel.objects.filter(pk=self.pk).update(failing_since=None, last_error="", last_sent_at=now)

    def record_failure(self, now: datetime, error: str) -> None:
        since = Coalesce("failing_since", now, output_field=models.DateTimeField())
        Channel.objects.filter(pk=self.pk).update(failing_since=since, last_error=error)

    def secrets(self) -> Iterator[str]:
        """Secrets to mask in errors. One that is not available cannot appear there."""
        with suppress(SecretUnavailable):
            if secret := self.get_secret():
                yield secret
