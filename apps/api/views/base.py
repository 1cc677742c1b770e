"""Base of all views of the API."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.views import APIView

from apps.api.http.parsers import LimitedJSONParser
from apps.api.http.problems import LengthRequired
from apps.api.models import ApiToken
from apps.api.serializers.fields import format_timestamp
from apps.api.tokens.permissions import Requires
from apps.api.tokens.throttling import AddressThrottle, TokenThrottle
from apps.audit.recording import token_of_request

# Header of every response during the last 14 days of a token.
EXPIRY_HEADER = "Synclog-Token-Expires"


class _IgnoreAcceptHeader(DefaultContentNegotiation):
    """Every resource has a single representation, whatever the header `Accept` asks for."""

    def select_renderer(
        self, request: Request, renderers: Any, format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        return renderers[0], renderers[0].media_type


class ApiView(APIView):
    """A view under /api/v1/. It declares in `required` what an action requires; see `Requires`."""

    http_method_names = ["get", "head", "post"]
    required: dict[str, Requires] = {}
    throttle_classes = (TokenThrottle, AddressThrottle)
    parser_classes = (LimitedJSONParser,)
    content_negotiation_class = _IgnoreAcceptHeader
    # Whether the view streams its body.
    streams_body = False

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        token = request.auth
        if isinstance(token, ApiToken) and token.expires_soon:
            response.headers[EXPIRY_HEADER] = format_timestamp(token.expires_at)
        token_of_request.set("")
        return super().finalize_response(request, response, *args, **kwargs)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        token_of_request.set(str(request.auth or ""))
        if request.headers.get("Transfer-Encoding") and not self.streams_body:
            # Django treats a body without a length as empty.
            raise LengthRequired(_("Missing Content-Length; send the number of bytes."))
