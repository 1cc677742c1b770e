"""Status of a run on the log page: what changes while the run is open, for page and feed."""

from __future__ import annotations

import zlib
from datetime import datetime

from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from apps.console.log.timeline import timeline_html
from apps.console.ui.ansi import message_html
from apps.console.ui.badges import icon, status_badge
from apps.console.ui.formatting import count_html, duration_text, moment_html, number_text
from apps.console.ui.links import pulled_html, pushed_html, refused_html
from apps.runs.models import Run

# Columns that `live_status` shows.
_SEEN = (
    *("status", "started_at", "cancel_requested_at"),
    *(
        "pulled_count",
        "pushed_count",
        "refused_count",
        "has_records",
        "warning_count",
        "error_count",
        "error",
    ),
    *("is_complete", "line_count", "lost_line_count", "omitted_line_count", "step_seconds"),
)
# All columns that the feed reads.
FEED_COLUMNS = (
    *(*_SEEN, "finished_at", "error_sequence", "lost_reason"),
    *("store_pull", "store_script", "store_push"),
)


def status_version(run: Run) -> str:
    """Version of what `live_status` shows, so that an idle feed omits it."""
    seen = tuple(getattr(run, name) for name in _SEEN)
    return f"{zlib.crc32(repr(seen).encode()):08x}"


def live_status(run: Run, now: datetime) -> dict[str, SafeString]:
    """Parts of the page by their name in `data-live`."""
    return {
        "status": _status(run),
        "started": _started(run, now),
        "duration": _duration(run, now),
        "pulled": pulled_html(run),
        "pushed": pushed_html(run),
        "refused": _with_class(refused_html(run), "has-errors" if run.refused_count else ""),
        "warnings": count_html(run.warning_count, "has-warnings"),
        "errors": count_html(run.error_count, "has-errors"),
        "steps": timeline_html(run, now),
        "error": _error(run),
        "seal": seal_html(run),
    }


def seal_html(run: Run) -> SafeString:
    """Whether the log is complete; while the run is open, the number of lines so far."""
    if run.is_open:
        return _so_far(run)
    if run.lost_line_count:
        lost = ngettext(
            "%(count)s line lost: %(reason)s", "%(count)s lines lost: %(reason)s", run.lost_line_count
        )
        text = lost % {"count": number_text(run.lost_line_count), "reason": run.lost_reason}
        return _seal("lost", "warning", text + _omitted(run))
    if not run.is_complete:
        text = _("The log may be incomplete. %(reason)s") % {"reason": run.lost_reason}
        return _seal("lost", "warning", text + _omitted(run))
    lines = ngettext("%(count)s line", "%(count)s lines", run.line_count) % {
        "count": number_text(run.line_count)
    }
    return _seal("complete", "check", f"{_('Complete')} · {lines}{_omitted(run)}")


def _so_far(run: Run) -> SafeString:
    text = ngettext("%(count)s line so far", "%(count)s lines so far", run.line_count)
    return format_html('<span class="muted">{}</span>', text % {"count": number_text(run.line_count)})


def _seal(kind: str, shape: str, text: str) -> SafeString:
    return format_html('<span class="seal seal-{}">{}{}</span>', kind, icon(shape), text)


def _omitted(run: Run) -> str:
    """Lines left out on purpose, as the end of the text."""
    if not run.omitted_line_count:
        return ""
    text = ngettext(
        ", %(count)s line left out from the middle",
        ", %(count)s lines left out from the middle",
        run.omitted_line_count,
    )
    return text % {"count": number_text(run.omitted_line_count)}


def _status(run: Run) -> SafeString:
    if run.status == Run.Status.RUNNING and run.cancel_requested_at:
        return format_html('{} <span class="muted">{}</span>', status_badge(run.status), _("stopping"))
    return status_badge(run.status)


def _started(run: Run, now: datetime) -> SafeString:
    if run.started_at is not None:
        return moment_html(run.started_at, now)
    return SafeString(_("not yet") if run.is_open else _("never"))


def _duration(run: Run, now: datetime) -> SafeString:
    if run.started_at is not None and run.is_open:
        since = now - run.started_at
        return format_html(
            '<span data-since="{}">{}</span>', run.started_at.isoformat(), duration_text(since)
        )
    return SafeString(duration_text(run.duration))


def _with_class(text: str, css_class: str) -> SafeString:
    return format_html('<span class="{}">{}</span>', css_class, text)


def _error(run: Run) -> SafeString:
    if not run.error:
        return SafeString("")
    link = SafeString("")
    if run.error_sequence:
        link = format_html(
            ' <a href="?line={0}#L{0}">{1}</a>',
            run.error_sequence,
            _("Line %(line)s") % {"line": run.error_sequence},
        )
    return format_html(
        '<div class="notice notice-error">{}<p>{}{}</p></div>',
        icon("cross"),
        # Escapes the text and shows invisible characters.
        SafeString(message_html(run.error)),
        link,
    )
