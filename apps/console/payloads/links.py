"""Payloads at their lines: a chip with the file and its menu while it may be read, its record afterwards."""

from __future__ import annotations

from datetime import datetime
from html import escape
from typing import Any

from django.conf import settings
from django.urls import reverse
from django.utils.translation import gettext as _

from apps.console.ui.ansi import message_html
from apps.console.ui.badges import icon
from apps.console.ui.formatting import moment_text, size_text, span_text


def payload_chip(payload: Any, now: datetime, origin: str, *, may_download: bool) -> str:
    """The chip of a payload that was read `with_state`; `origin` is scheme and host, for the `curl` line."""
    kind = f'<span class="payload-kind">{escape(str(payload.get_kind_display()))}</span>'
    name = f"{icon('file')}{kind}{message_html(payload.name)}"
    state, words = payload_words(payload, now)
    size = size_text(payload.size)
    record = f"{size} · sha256 {escape(payload.sha256[:16])}…" if payload.sha256 else size
    if state != "stored":
        return (
            f'<span class="payload payload-gone" title="{escape(payload.sha256)}">'
            f'<span class="payload-file">{name}</span>'
            f'<span class="payload-left">{escape(words)} · {record}</span></span>'
        )
    # The page's script keeps the time that is left, and learns at the end of the run when it begins.
    expires = (
        f' data-expires-at="{payload.expires_at.isoformat()}"' if payload.expires_at else " data-until-end"
    )
    href = reverse("admin:runs_run_payload", args=[payload.run_id, payload.pk])
    file = f'<a class="payload-file" href="{href}">{name}</a>'
    if not may_download:
        file = f'<span class="payload-file">{name}</span>'
    return (
        f'<span class="payload" data-record="{record}" title="{escape(payload.sha256)}">{file}'
        f'<span class="payload-left">{size} · <span{expires}>{escape(words)}</span></span>'
        f"{_menu(payload, origin, may_download=may_download)}</span>"
    )


def _menu(payload: Any, origin: str, *, may_download: bool) -> str:
    """Download and Preview where they are allowed; the `curl` line needs a token of its own."""
    menu_id = f"payload-{payload.pk}"
    entries = ""
    if may_download:
        place = [payload.run_id, payload.pk]
        entries = (
            f'<a href="{reverse("admin:runs_run_payload", args=place)}">{icon("download")}'
            f"{escape(_('Download'))}</a>"
            f'<a href="{reverse("admin:runs_run_preview", args=place)}">{icon("search")}'
            f"{escape(_('Preview'))}</a>"
        )
    label = escape(_("Actions for %(subject)s") % {"subject": payload.name})
    return (
        f'<button type="button" class="menu-button" popovertarget="{menu_id}" aria-label="{label}">'
        f'{icon("ellipsis")}</button><div popover id="{menu_id}" class="menu">{entries}'
        f'<button type="button" data-copy="{escape(curl_line(payload.pk, origin))}">{icon("copy")}'
        f'<span data-copied="{escape(_("Copied"))}">{_("Copy %(curl)s") % {"curl": "<code>curl</code>"}}'
        "</span></button></div>"
    )


def payload_words(payload: Any, now: datetime) -> tuple[str, str]:
    """The state of a payload read `with_state`, and in words: "works for 23 h", "expired 21 Nov 14:05"."""
    if payload.state == "lost":
        return "lost", _("lost: the store no longer has it")
    if payload.expires_at is None:
        if payload.state != "stored":
            return payload.state, _("deleted")
        return "stored", _("works until %(span)s after the end") % {"span": _retention()}
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
