"""The preview of a payload: its beginning, made readable, on a page of its own."""

from __future__ import annotations

from contextlib import closing
from typing import IO, Any

from django.contrib.admin import AdminSite
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from apps.console.payloads.links import curl_line, payload_words
from apps.console.payloads.preview_text import MAX_BYTES, preview_of
from apps.console.ui.ansi import message_html
from apps.console.ui.formatting import size_text


def payload_preview(request: HttpRequest, site: AdminSite, payload: Any, stream: IO[bytes]) -> HttpResponse:
    """The page for a payload read `with_state`; closes the stream when its beginning has been read."""
    data, is_whole = _beginning(stream)
    preview = preview_of(data, content_type=payload.content_type, name=payload.name, is_whole=is_whole)
    notes = list(preview.notes)
    if not is_whole:
        notes.insert(
            0,
            _("These are the first %(part)s of %(size)s; the download has all of it.")
            % {"part": f"{MAX_BYTES // 1024} KiB", "size": size_text(payload.size)},
        )
    context = {
        **site.each_context(request),
        "title": payload.name,
        "payload": payload,
        "run": payload.run,
        "preview": preview,
        "notes": notes,
        # It escapes, and shows what is invisible; colours have no place in a file.
        "text": SafeString(message_html(preview.text.replace("\x1b", "\u241b"))),
        "size": size_text(payload.size),
        "state": payload_words(payload, timezone.now())[1],
        "curl": curl_line(payload.pk, f"{request.scheme}://{request.get_host()}"),
    }
    return TemplateResponse(request, "console/payload_preview.html", context)


def _beginning(stream: IO[bytes]) -> tuple[bytes, bool]:
    """At most 256 KiB, and whether that is all; some stores hand out less at once than they were asked for."""
    data = b""
    with closing(stream):
        while len(data) <= MAX_BYTES and (part := stream.read(MAX_BYTES + 1 - len(data))):
            data += part
    return data[:MAX_BYTES], len(data) <= MAX_BYTES
