"""Download of payloads until they expire."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from django.conf import settings
from django.db.models import QuerySet
from django.http import FileResponse, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.utils.cache import get_conditional_response
from django.utils.http import content_disposition_header
from django.utils.translation import gettext as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request

from apps.api.http.byte_ranges import ByteRange, Unsatisfiable, parse_range
from apps.api.http.file_names import download_name, media_type
from apps.api.http.problems import PayloadUnreadable, PreconditionFailed, RangeNotSatisfiable
from apps.api.models import ApiToken
from apps.api.queries.visibility import visible_payloads
from apps.api.schema import problem_responses
from apps.api.serializers.fields import format_timestamp
from apps.api.tokens.authentication import client_address
from apps.api.tokens.permissions import Requires
from apps.api.views.base import ApiView
from apps.runs.models import Payload
from apps.runs.payloads.audit import AuditedStream, record_direct_read, record_read
from apps.runs.payloads.reading import PayloadGone, direct_link, open_payload

# Bytes per read where the kernel cannot send the file: from S3, and for a range. Blocks of 256 KiB take twice the CPU.
_BLOCK_BYTES = 1024 * 1024


class DownloadView(ApiView, GenericAPIView[Payload]):
    """Download of a payload."""

    required = {"get": Requires(ApiToken.Scope.PAYLOAD_READ, ("runs.download_payload",))}
    queryset = Payload.objects.none()

    def get_queryset(self) -> QuerySet[Payload]:
        return visible_payloads(self.request)

    @extend_schema(
        operation_id="payloads_download",
        summary="Download a payload",
        description=(
            "Until 24 hours (or the configured retention) after the end of the run, then 410. `Range` "
            "selects one range of bytes; `ETag` is the SHA-256, so that `If-Range` continues a download. "
            "If configured, the response is a redirect to a presigned URL of the store, valid for at most"
            " 60 s; follow it without the header `Authorization`."
        ),
        parameters=[
            OpenApiParameter(name, str, OpenApiParameter.HEADER)
            for name in ("Range", "If-Range", "If-None-Match", "If-Match")
        ],
        responses={
            (200, "*/*"): OpenApiTypes.ANY,
            (206, "*/*"): OpenApiTypes.ANY,
            302: None,
            304: None,
        }
        | problem_responses(404, 410, 412, 416),
    )
    def get(self, request: Request, pk: Any) -> HttpResponseBase:
        payload: Any = self.get_object()
        if payload.state != "stored":
            raise _gone(payload)
        headers = _headers(payload)
        unchanged = get_conditional_response(request._request, etag=headers["ETag"])
        if unchanged is not None:
            if unchanged.status_code == HTTPStatus.PRECONDITION_FAILED:
                raise PreconditionFailed(_("The payload differs from the one in If-Match."))
            return HttpResponse(status=HTTPStatus.NOT_MODIFIED, headers=headers)
        try:
            if request.method == "HEAD":
                open_payload(payload).close()
                return HttpResponse(
                    headers=headers | {"Content-Length": str(payload.size)},
                    content_type=media_type(payload.content_type),
                )
            return _redirect(request, payload, headers) or _stream(request, payload, headers)
        except PayloadGone:
            raise _gone(payload) from None


def _redirect(request: Request, payload: Payload, headers: Mapping[str, str]) -> HttpResponseBase | None:
    """Redirect to a presigned URL, if configured and available. Raises PayloadGone."""
    if settings.PAYLOAD_DOWNLOAD != "redirect":
        return None
    link = direct_link(
        payload,
        disposition=headers["Content-Disposition"],
        content_type=media_type(payload.content_type),
    )
    if link is None:
        return None
    record_direct_read(payload, **_reader(request))
    return HttpResponseRedirect(link, headers={"Cache-Control": headers["Cache-Control"]})


def _stream(request: Request, payload: Payload, headers: Mapping[str, str]) -> HttpResponseBase:
    """The whole payload or the requested range. Raises PayloadGone, RangeNotSatisfiable."""
    byte_range = _requested_range(request, payload, headers["ETag"])
    stream = record_read(
        payload,
        open_payload(payload, first=byte_range.first if byte_range else 0),
        expected=byte_range.length if byte_range else payload.size,
        **_reader(request),
    )
    response = _BlockResponse(
        _Part(stream, byte_range.length) if byte_range else stream,
        content_type=media_type(payload.content_type),
    )
    for name, value in headers.items():
        response.headers[name] = value
    if byte_range:
        response.status_code = HTTPStatus.PARTIAL_CONTENT
        response.headers["Content-Length"] = str(byte_range.length)
        response.headers["Content-Range"] = f"bytes {byte_range.first}-{byte_range.last}/{payload.size}"
    else:
        response.headers.setdefault("Content-Length", str(payload.size))
    return response


def _reader(request: Request) -> dict[str, Any]:
    return {"user": request.user, "address": client_address(request), "token": request.auth}


def _headers(payload: Payload) -> dict[str, str]:
    digest = base64.b64encode(bytes.fromhex(payload.sha256)).decode()
    return {
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, no-store",
        "Content-Disposition": content_disposition_header(True, download_name(payload.name)) or "attachment",
        # A browser must not run the content.
        "Content-Security-Policy": "sandbox; default-src 'none'",
        # The header of RFC 3230, which clients know; RFC 9530 replaces it by Repr-Digest.
        "Digest": f"sha-256={digest}",
        "ETag": f'"{payload.sha256}"',
        "Repr-Digest": f"sha-256=:{digest}:",
        "X-Content-Type-Options": "nosniff",
    }


def _requested_range(request: Request, payload: Payload, etag: str) -> ByteRange | None:
    if request.headers.get("If-Range", etag).strip() != etag:
        return None
    size = payload.size or 0
    try:
        return parse_range(request.headers.get("Range", ""), size)
    except Unsatisfiable:
        raise RangeNotSatisfiable(
            _("The file has %(size)d bytes; request a range within it.") % {"size": size},
            headers={"Content-Range": f"bytes */{size}"},
        ) from None


class _BlockResponse(FileResponse):
    """File response that the kernel sends if stream and server support it (gunicorn), otherwise in blocks."""

    block_size = _BLOCK_BYTES


class _Part:
    """The first `length` bytes of a stream."""

    def __init__(self, stream: AuditedStream, length: int) -> None:
        self._stream = stream
        self._remaining = length
        self.close = stream.close

    def read(self, size: int = -1) -> bytes:
        data = self._stream.read(min(size, self._remaining) if size >= 0 else self._remaining)
        self._remaining -= len(data)
        return data


def _gone(payload: Any) -> PayloadUnreadable:
    """The error for a payload that can no longer be read. If its state is `stored`, its object is missing."""
    if payload.state in ("expired", "deleted") and payload.expires_at:
        return PayloadUnreadable(
            _("The payload expired at %(time)s.") % {"time": format_timestamp(payload.expires_at)}
        )
    if payload.state == "deleted":
        return PayloadUnreadable(_("The payload was deleted."))
    return PayloadUnreadable(_("The payload is missing from the payload store."))
