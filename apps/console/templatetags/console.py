"""Template tags and filters of the console."""

from __future__ import annotations

from datetime import datetime

from django import template
from django.contrib.admin.views.main import PAGE_VAR, ChangeList
from django.utils import timezone
from django.utils.safestring import SafeString

from apps.console.ui import badges, form_rows, formatting, links

register = template.Library()

register.simple_tag(badges.icon, name="icon")
register.simple_tag(form_rows.form_rows, name="form_rows")
register.filter("status_badge", badges.status_badge)
register.filter("trigger", badges.trigger_text)
register.filter("duration", formatting.duration_text)
register.filter("count", formatting.count_text)
register.filter("number", formatting.number_text)
register.filter("pulled", links.pulled_html)
register.filter("pushed", links.pushed_html)
register.filter("refused_note", links.refused_note)
register.filter("schedule", formatting.schedule_text)


@register.filter
def moment(value: datetime | None) -> SafeString:
    return formatting.moment_html(value, timezone.now())


@register.filter
def csv_query(changelist: ChangeList) -> str:
    """Query string of the CSV of a list: the same rows, without the page."""
    return changelist.get_query_string(remove=[PAGE_VAR])


@register.filter
def relative(value: datetime) -> str:
    return formatting.relative_text(value, timezone.now())
