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

from apps.api.authentication import client_address
from apps.api.byte_ranges import ByteRange, Unsatisfiable, parse_range
from apps.api.fields import timestamp
from apps.api.file_names import download_name, media_type
from apps.api.models import ApiToken
from apps.api.permissions import Requires
from apps.api.problems import PayloadUnreadable, PreconditionFailed, RangeNotSatisfiable
from apps.api.schema import answers
from apps.api.views.base import ApiView
from apps.api.visibility import visible_payloads
from apps.runs.models import Payload
from apps.runs.payloads.audit import AuditedStream, record_direct_read, record_read
from apps.runs.payloads.reading import PayloadGone, direct_link, open_payload

# Bytes per read if the kernel cannot send the file: from S3, and for a range. A quarter of it takes the server twice
# the time.
_BLOCK_BYTES = 1024 * 1024


class DownloadView(ApiView, GenericAPIView[Payload]):
    """Download of a payload."""

    needs = {"get": Requires(ApiToken.Scope.PAYLOAD_READ, ("runs.download_payload",))}
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
        | answers(404, 410, 412, 416),
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
            return _redirected(request, payload, headers) or _streamed(request, payload, headers)
        except PayloadGone:
            raise _gone(payload) from None


def _redirected(request: Request, payload: Payload, headers: Mapping[str, str]) -> HttpResponseBase | None:
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


def _streamed(request: Request, payload: Payload, headers: Mapping[str, str]) -> HttpResponseBase:
    """The whole payload or the requested range. Raises PayloadGone, RangeNotSatisfiable."""
    wanted = _range_of(request, payload, headers["ETag"])
    stream = record_read(
        payload,
        open_payload(payload, first=wanted.first if wanted else 0),
        expected=wanted.length if wanted else payload.size,
        **_reader(request),
    )
    return _part(stream, payload, headers, wanted) if wanted else _whole(stream, payload, headers)


def _reader(request: Request) -> dict[str, Any]:
    return {"user": request.user, "address": client_address(request), "token": request.auth}


def _headers(payload: Payload) -> dict[str, str]:
    digest = base64.b64encode(bytes.fromhex(payload.sha256)).decode()
    return {
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, no-store",
        "Content-Disposition": content_disposition_header(True, download_name(payload.name)) or "attachment",
        # Its content never runs in a browser.
        "Content-Security-Policy": "sandbox; default-src 'none'",
        # The header of RFC 3230, which clients know, and its successor in RFC 9530.
        "Digest": f"sha-256={digest}",
        "ETag": f'"{payload.sha256}"',
        "Repr-Digest": f"sha-256=:{digest}:",
        "X-Content-Type-Options": "nosniff",
    }


def _range_of(request: Request, payload: Payload, etag: str) -> ByteRange | None:
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
    """Sent by the kernel if stream and server support it (gunicorn), else in blocks."""

    block_size = _BLOCK_BYTES


class _Part:
    """The bytes of a range of a stream that begins with them."""

    def __init__(self, stream: AuditedStream, wanted: ByteRange) -> None:
        self._stream = stream
        self._left = wanted.length
        self.close = stream.close

    def read(self, size: int = -1) -> bytes:
        data = self._stream.read(min(size, self._left) if size >= 0 else self._left)
        self._left -= len(data)
        return data


def _whole(stream: AuditedStream, payload: Payload, headers: Mapping[str, str]) -> HttpResponseBase:
    response = _BlockResponse(stream, content_type=media_type(payload.content_type))
    response.headers.setdefault("Content-Length", str(payload.size))
    _add(response, headers)
    return response


def _part(
    stream: AuditedStream, payload: Payload, headers: Mapping[str, str], wanted: ByteRange
) -> HttpResponseBase:
    response = _BlockResponse(
        _Part(stream, wanted),
        status=HTTPStatus.PARTIAL_CONTENT,
        content_type=media_type(payload.content_type),
    )
    _add(response, headers)
    response.headers["Content-Length"] = str(wanted.length)
    response.headers["Content-Range"] = f"bytes {wanted.first}-{wanted.last}/{payload.size}"
    return response


def _add(response: HttpResponseBase, headers: Mapping[str, str]) -> None:
    for name, value in headers.items():
        response.headers[name] = value


def _gone(payload: Any) -> PayloadUnreadable:
    """The error for a payload that can no longer be read. A stored payload is missing from the store."""
    if payload.state in ("expired", "deleted") and payload.expires_at:
        return PayloadUnreadable(
            _("The payload expired at %(time)s.") % {"time": timestamp(payload.expires_at)}
        )
    if payload.state == "deleted":
        return PayloadUnreadable(_("The payload was deleted."))
    return PayloadUnreadable(_("The payload is missing from the payload store."))
