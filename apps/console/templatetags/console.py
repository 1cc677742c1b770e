"""The console's words and marks, for its templates."""

from __future__ import annotations

from datetime import datetime

from django import template
from django.utils import timezone
from django.utils.safestring import SafeString

from apps.console import marks, wording

register = template.Library()

register.simple_tag(marks.icon, name="icon")
register.filter("status_badge", marks.status_badge)
register.filter("trigger", marks.trigger_text)
register.filter("duration", wording.duration_text)
register.filter("count", wording.count_text)
register.filter("whole", wording.whole_text)
register.filter("schedule", wording.schedule_text)


@register.filter
def moment(value: datetime | None) -> SafeString:
    return wording.moment_html(value, timezone.now())


@register.filter
def relative(value: datetime) -> str:
    return wording.relative_text(value, timezone.now())
