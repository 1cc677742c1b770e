"""Base of all views of the API."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.views import APIView

from apps.api.fields import timestamp
from apps.api.models import ApiToken
from apps.api.parsers import LimitedJSONParser
from apps.api.permissions import Requires
from apps.api.problems import LengthRequired
from apps.api.throttling import AddressThrottle, TokenThrottle

# Header of every response during the last 14 days of a token.
EXPIRY_HEADER = "Synclog-Token-Expires"


class _OneRepresentation(DefaultContentNegotiation):
    """Each resource has one representation, which is also the response to other Accept headers."""

    def select_renderer(
        self, request: Request, renderers: Any, format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        return renderers[0], renderers[0].media_type


class ApiView(APIView):
    """A view under /api/v1/. It declares permissions in `needs`; see apps.api.permissions."""

    http_method_names = ["get", "head", "post"]
    needs: dict[str, Requires] = {}
    throttle_classes = (TokenThrottle, AddressThrottle)
    parser_classes = (LimitedJSONParser,)
    content_negotiation_class = _OneRepresentation
    # Whether the view streams its body.
    streams_body = False

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        token = request.auth
        if isinstance(token, ApiToken) and token.expires_soon:
            response.headers[EXPIRY_HEADER] = timestamp(token.expires_at)
        return super().finalize_response(request, response, *args, **kwargs)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if request.headers.get("Transfer-Encoding") and not self.streams_body:
            # Django takes a body without a length for an empty one and would ignore it.
            raise LengthRequired(_("Missing Content-Length; send the number of bytes."))
