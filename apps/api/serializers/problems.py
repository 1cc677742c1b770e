"""Problems, and changes of them."""

from __future__ import annotations

from django.contrib.auth.models import User
from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from apps.alerts.models import Problem
from apps.alerts.problems.changes import possible_assignees
from apps.api.serializers.fields import SingleChoiceField, StrictSerializer, TimestampField
from apps.runs.models import Level


class ServiceProblemSerializer(serializers.ModelSerializer[Problem]):
    """Warnings and errors of a service that are one problem."""

    service = serializers.CharField(source="service.slug", help_text=_("Slug of the service."))
    level = serializers.SerializerMethodField(help_text=_("Highest level of its lines: warning or error."))
    assignee = serializers.CharField(
        source="assignee.username", allow_null=True, default=None, help_text=_("User name, or null.")
    )
    first_seen_at = TimestampField()
    last_seen_at = TimestampField()
    muted_until = TimestampField(allow_null=True)
    resolved_at = TimestampField(allow_null=True)
    reopened_at = TimestampField(allow_null=True, help_text=_("When it was opened again, or null."))

    class Meta:
        model = Problem
        fields = (
            "id",
            "service",
            "title",
            "level",
            "state",
            "muted_until",
            "muted_rate",
            "assignee",
            "note",
            "first_seen_at",
            "last_seen_at",
            "resolved_at",
            "reopened_at",
        )
        read_only_fields = fields

    @extend_schema_field({"type": "string"})
    def get_level(self, problem: Problem) -> str:
        return Level(problem.level).slug


class ProblemChangeSerializer(StrictSerializer):
    """What is to change. A problem that is muted here stays muted until a user opens it."""

    state = SingleChoiceField(choices=Problem.State.choices, required=False)
    assignee = serializers.CharField(
        max_length=150, required=False, allow_null=True, help_text=_("User name, or null for nobody.")
    )
    note = serializers.CharField(max_length=4000, required=False, allow_blank=True)

    def validate_assignee(self, name: str | None) -> User | None:
        if name is None:
            return None
        user = possible_assignees().filter(username=name).first()
        if user is None:
            raise serializers.ValidationError(
                _("User not found. Write the name of an active staff user, or null.")
            )
        return user
