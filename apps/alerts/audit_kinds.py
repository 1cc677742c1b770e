"""Channels, rules, maintenance windows and problems in the audit log."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from apps.alerts.models import Channel, MaintenanceWindow, Problem, Rule
from apps.audit.trail import Kind
from apps.services.audit_kinds import unless_all_visible

KINDS = (
    Kind("problem", _("Problem"), Problem, (), unless_all_visible(Problem.objects.visible_to)),
    Kind("channel", _("Channel"), Channel, ("name",)),
    # Their entries name services.
    Kind("rule", _("Alert rule"), Rule, ("name",), unless_all_visible()),
    Kind("maintenance", _("Maintenance window"), MaintenanceWindow, ("service__slug",), unless_all_visible()),
)
