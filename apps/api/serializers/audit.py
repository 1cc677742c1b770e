"""Entries of the audit log."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

from apps.api.serializers.fields import TimestampField
from apps.audit.models import Action
from apps.audit.trail import Entry


class AuditChangeSerializer(serializers.Serializer[Any]):
    """A changed setting. Secrets are masked, and long texts are cut."""

    field = serializers.CharField()
    old = serializers.JSONField(allow_null=True)
    new = serializers.JSONField(allow_null=True)


class AuditEntrySerializer(serializers.Serializer[Any]):
    """Who did what, when, and to which object."""

    id = serializers.SerializerMethodField()
    occurred_at = TimestampField()
    action = serializers.ChoiceField(Action.choices)
    user = serializers.CharField(source="username", help_text=_("Empty: unknown, or a command."))
    command = serializers.CharField(help_text=_("Management command, if a person used the command line."))
    token = serializers.CharField(help_text=_("Name and prefix of the API token."))
    address = serializers.IPAddressField(allow_null=True)
    kind = serializers.CharField(help_text=_("Kind of object."))
    object_id = serializers.CharField()
    object_name = serializers.CharField(help_text=_("Name of the object at that time."))
    detail = serializers.CharField()
    changes = AuditChangeSerializer(many=True)
    count = serializers.IntegerField(help_text=_("Attempts that a failed login sums up; otherwise 1."))

    def get_id(self, entry: Entry) -> str:
        return f"{entry.position.source}-{entry.position.pk}"
