"""Incidents."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from apps.alerts.models import Incident
from apps.api.serializers.fields import TimestampField

STATES = (("open", _("Open")), ("closed", _("Closed")))


class IncidentSerializer(serializers.ModelSerializer[Incident]):
    """What is or was wrong with a service, from its first event until it is over."""

    service = serializers.CharField(
        source="service.slug",
        default=None,
        allow_null=True,
        help_text=_("Slug of the service; null: Synclog."),
    )
    subject = serializers.CharField(
        help_text=_("Distinguishes incidents of one kind, such as the name of a system check; often empty.")
    )
    state = serializers.SerializerMethodField()
    run = serializers.IntegerField(
        source="run_id", allow_null=True, help_text=_("Number of the run that opened it, or null.")
    )
    reason = serializers.CharField(help_text=_("The error or the reason in one sentence."))
    since = TimestampField(help_text=_("Since when something is wrong, such as the last success."))
    opened_at = TimestampField()
    last_event_at = TimestampField()
    closed_at = TimestampField(allow_null=True)

    class Meta:
        model = Incident
        fields = (
            *(
                "id",
                "service",
                "kind",
                "subject",
                "state",
                "is_unstable",
                "run",
                "further_run_count",
                "reason",
            ),
            *("since", "opened_at", "last_event_at", "closed_at"),
        )
        read_only_fields = fields

    @extend_schema_field(serializers.ChoiceField(choices=STATES))
    def get_state(self, incident: Incident) -> str:
        return "open" if incident.is_open else "closed"
