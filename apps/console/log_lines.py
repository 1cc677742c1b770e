"""Lines of a log as `<li>` fragments: the page and its feed share this one function, which escapes every value.

Plain string formatting, because a page has 500 lines: through a template it takes four times as long.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from html import escape
from typing import Any

from django.conf import settings
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from apps.console.ansi import message_html
from apps.console.marks import icon
from apps.console.wording import moment_text, size_text, span_text
from apps.runs.logs.reading import Line


@dataclass(frozen=True)
class LineFacts:
    """What the lines need to know of the request: the time, where the site is, and what the user may do."""

    now: datetime
    # Scheme and host, for the `curl` line.
    origin: str
    may_download: bool
    # The line that the address asks for.
    wanted: int | None = None


def render_lines(lines: Iterable[Line], facts: LineFacts) -> str:
    """The lines as HTML, one `<li>` each, its id the permanent link `#L123`."""
    return "".join([_line(line, facts) for line in lines])


def _line(line: Line, facts: LineFacts) -> str:
    number, level = line.sequence, line.level.slug
    local = timezone.localtime(line.logged_at)
    wanted = " is-wanted" if number == facts.wanted else ""
    payloads = "".join([_payload(payload, facts) for payload in line.payloads])
    if payloads:
        payloads = f'<div class="payloads">{payloads}</div>'
    return (
        f'<li class="line line-{level}{wanted}" id="L{number}">'
        f'<a class="line-number" href="?line={number}#L{number}">{number}</a>'
        f'<time class="line-time" datetime="{line.logged_at.isoformat()}" title="{local:%Y-%m-%d %H:%M:%S.%f %Z}">'
        f"{local:%H:%M:%S}.{local.microsecond // 1000:03}</time>"
        f'<span class="line-level">{escape(str(line.level.label))}</span>'
        f'<span class="line-step">{escape(str(line.step.label))}</span>'
        f'<span class="line-message">{message_html(line.message)}</span>{payloads}</li>\n'
    )


def _payload(payload: Any, facts: LineFacts) -> str:
    """A chip: the file as a link with its `curl` line while it may be read, as its record afterwards."""
    kind = f'<span class="payload-kind">{escape(str(payload.get_kind_display()))}</span>'
    name = f"{icon('file')}{kind}{message_html(payload.name)}"
    state, words = payload_words(payload, facts.now)
    if state != "stored":
        digest = f" · sha256 {escape(payload.sha256[:16])}…" if payload.sha256 else ""
        size = f" · {size_text(payload.size)}" if payload.size is not None else ""
        return (
            f'<span class="payload payload-gone" title="{escape(payload.sha256)}">'
            f'<span class="payload-file">{name}</span>'
            f'<span class="payload-left">{escape(words)}{size}{digest}</span></span>'
        )
    href = reverse("admin:runs_run_payload", args=[payload.run_id, payload.pk])
    file = (
        f'<a class="payload-file" href="{href}">{name}</a>'
        if facts.may_download
        else f'<span class="payload-file">{name}</span>'
    )
    # The page's script keeps the time that is left, and learns at the end of the run when it begins.
    expires = (
        f' data-expires-at="{payload.expires_at.isoformat()}"' if payload.expires_at else " data-until-end"
    )
    return (
        f'<span class="payload">{file}<span class="payload-left">{size_text(payload.size)} · '
        f"<span{expires}>{escape(words)}</span></span>"
        f'<button type="button" data-copy="{escape(curl_line(payload.pk, facts.origin))}">{icon("copy")}'
        f'<span data-copied="{escape(_("Copied"))}">curl</span></button></span>'
    )


def payload_words(payload: Any, now: datetime) -> tuple[str, str]:
    """The state of a payload read `with_state`, and in words: "works for 23 h", "expired 21 Nov 14:05"."""
    if payload.state == "lost":
        return "lost", _("lost: the store no longer has it")
    if payload.expires_at is None:
        if payload.state != "stored":
            return payload.state, _("deleted")
        return "stored", _("works until %(span)s after the run has ended") % {"span": _retention()}
    if payload.state == "stored" and payload.expires_at > now:
        return "stored", _("works for %(span)s") % {"span": span_text(payload.expires_at - now)}
    moment = moment_text(payload.expires_at, now, seconds=False)
    return "expired", _("expired %(moment)s") % {"moment": moment}


def curl_line(payload_id: Any, origin: str) -> str:
    """The line that fetches a payload with a token, ready to be pasted."""
    return (
        f'curl -H "Authorization: Bearer $SYNCLOG_TOKEN" -OJ {origin}/api/v1/payloads/{payload_id}/download/'
    )


def _retention() -> str:
    hours = settings.PAYLOAD_RETENTION.total_seconds() / 3600
    return _("%(hours)s h") % {"hours": f"{hours:g}"}
