"""Audit events."""

from __future__ import annotations

from django.conf import settings
from django.contrib.contenttypes.models import ContentType
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


class Action(models.TextChoices):
    """What a person did."""

    ADDED = "added", _("Added")
    CHANGED = "changed", _("Changed")
    DELETED = "deleted", _("Deleted")
    TRIED = "tried", _("Tried")  # Preview or connection test.
    EXPORTED = "exported", _("Exported")  # As YAML.

    STARTED = "started", _("Started")
    RESYNCED = "resynced", _("Resynced")  # Records of another run, or all of it again.
    CANCELLED = "cancelled", _("Cancelled")
    HELD = "held", _("Hold changed")
    READ = "read", _("Payload read")

    MUTED = "muted", _("Muted")
    RESOLVED = "resolved", _("Resolved")
    REOPENED = "reopened", _("Reopened")
    ASSIGNED = "assigned", _("Assigned")
    NOTED = "noted", _("Note changed")

    REVOKED = "revoked", _("Revoked")
    LOGIN = "login", _("Logged in")
    LOGIN_FAILED = "login_failed", _("Login failed")
    LOGOUT = "logout", _("Logged out")
    PASSWORD_CHANGED = "password_changed", _("Password changed")
    FACTOR_CHANGED = "factor_changed", _("Second factor changed")


# Instead of a command: the identity provider assigns groups.
OPENID_PROVIDER = "OpenID Connect"


class AuditEvent(models.Model):
    """An action that no other table records, or whose own row was deleted. Never changed by users."""

    # By the clock of the host, as in the history of the admin.
    occurred_at = models.DateTimeField(_("time"), default=timezone.now)
    action = models.CharField(_("action"), max_length=20, choices=Action)

    # Without the index of the foreign key: one below begins with this column.
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        db_index=False,
        related_name="+",
        verbose_name=_("user"),
    )
    # Name of the user at that time; empty = nobody who is known.
    username = models.CharField(_("user name"), max_length=150, blank=True)
    # Management command, if a person used the command line; or OPENID_PROVIDER.
    command = models.CharField(_("command"), max_length=50, blank=True)
    # Name and prefix of the API token.
    token = models.CharField(_("token"), max_length=130, blank=True)
    address = models.GenericIPAddressField(_("address"), null=True, blank=True)

    content_type = models.ForeignKey(
        ContentType, models.SET_NULL, null=True, db_index=False, related_name="+", verbose_name=_("kind")
    )
    object_id = models.CharField(_("object"), max_length=64, blank=True)
    object_name = models.CharField(_("name of the object"), max_length=200, blank=True)

    detail = models.TextField(_("detail"), blank=True)
    # As apps.audit.changes.differences returns them.
    changes = models.JSONField(_("changes"), default=list, blank=True)
    # Attempts that one row sums up, for failed logins.
    count = models.PositiveIntegerField(_("count"), default=1)

    class Meta:
        verbose_name = _("audit event")
        verbose_name_plural = _("audit log")
        default_permissions = ("view",)
        indexes = [
            # The page, and pruning: ORDER BY occurred_at DESC, id DESC.
            models.Index(fields=["occurred_at", "id"], name="audit_event_time"),
            # By person: WHERE user_id = … ORDER BY occurred_at DESC, id DESC.
            models.Index(fields=["user", "occurred_at", "id"], name="audit_event_user"),
            # By object: WHERE content_type_id = … AND object_id = … ORDER BY occurred_at DESC, id DESC.
            models.Index(
                fields=["content_type", "object_id", "occurred_at", "id"], name="audit_event_object"
            ),
            # Failed logins of the current hour: WHERE action = 'login_failed' AND occurred_at >= ….
            models.Index(
                fields=["occurred_at"], name="audit_event_failed", condition=Q(action="login_failed")
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_action_display()}: {self.object_name}"
