"""Links to payloads at log lines: a chip with a menu until the payload expires, its record afterwards."""

from __future__ import annotations

from datetime import datetime
from html import escape
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.urls import reverse
from django.utils.translation import gettext as _

from apps.console.ui.ansi import message_html
from apps.console.ui.badges import icon
from apps.console.ui.formatting import moment_text, size_text, span_text


def payload_chip(payload: Any, now: datetime, origin: str, *, may_download: bool) -> str:
    """Chip of a payload with `state`; `origin` is scheme and host for the `curl` command."""
    kind = f'<span class="payload-kind">{escape(str(payload.get_kind_display()))}</span>'
    name = f"{icon('file')}{kind}{message_html(payload.name)}"
    state, text = payload_state(payload, now)
    size = size_text(payload.size)
    record = f"{size} · sha256 {escape(payload.sha256[:16])}…" if payload.sha256 else size
    if state != "stored":
        return (
            f'<span class="payload payload-expired" title="{escape(payload.sha256)}">'
            f'<span class="payload-file">{name}</span>'
            f'<span class="payload-expiry">{escape(text)} · {record}</span></span>'
        )
    # The script of the page updates the remaining time.
    expires = (
        f' data-expires-at="{payload.expires_at.isoformat()}"' if payload.expires_at else " data-until-end"
    )
    href = reverse("admin:runs_run_payload", args=[payload.run_id, payload.pk])
    file = f'<a class="payload-file" href="{href}">{name}</a>'
    if not may_download:
        file = f'<span class="payload-file">{name}</span>'
    return (
        f'<span class="payload" data-record="{record}" title="{escape(payload.sha256)}">{file}'
        f'<span class="payload-expiry">{size} · <span{expires}>{escape(text)}</span></span>'
        f"{_menu(payload, origin, may_download=may_download)}</span>"
    )


def preview_url(payload: Any, *, record: str) -> str:
    """The preview at the record with this key."""
    url = reverse("admin:runs_run_preview", args=[payload.run_id, payload.pk])
    return f"{url}?{urlencode({'record': record})}#record"


def _menu(payload: Any, origin: str, *, may_download: bool) -> str:
    """Menu with Download and Preview if allowed, and the `curl` command, which needs a token."""
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
        f'<button type="button" data-copy="{escape(curl_command(payload.pk, origin))}">{icon("copy")}'
        f'<span data-copied="{escape(_("Copied"))}">{_("Copy %(curl)s") % {"curl": "<code>curl</code>"}}'
        "</span></button></div>"
    )


def payload_state(payload: Any, now: datetime) -> tuple[str, str]:
    """The state of a payload and its text: "expires in 23 h", "expired 21 Nov 14:05"."""
    if payload.state == "lost":
        return "lost", _("lost: missing from the payload store")
    if payload.expires_at is None:
        if payload.state != "stored":
            return payload.state, _("deleted")
        return "stored", _("expires %(span)s after the end of the run") % {"span": _retention()}
    if payload.state == "stored" and payload.expires_at > now:
        return "stored", _("expires in %(span)s") % {"span": span_text(payload.expires_at - now)}
    moment = moment_text(payload.expires_at, now, seconds=False)
    return "expired", _("expired %(moment)s") % {"moment": moment}


def curl_command(payload_id: Any, origin: str) -> str:
    """The command that fetches a payload with a token."""
    return (
        f'curl -H "Authorization: Bearer $SYNCLOG_TOKEN" -OJ {origin}/api/v1/payloads/{payload_id}/download/'
    )


def _retention() -> str:
    hours = settings.PAYLOAD_RETENTION.total_seconds() / 3600
    return _("%(hours)s h") % {"hours": f"{hours:g}"}
