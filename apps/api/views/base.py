"""What all routes of the API share."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.views import APIView

from apps.api.fields import timestamp
from apps.api.models import ApiToken
from apps.api.parsers import BoundedJSONParser
from apps.api.permissions import Needs
from apps.api.problems import LengthRequired
from apps.api.throttling import AddressThrottle, TokenThrottle

# Told with every answer during the last fourteen days of a token.
EXPIRY_HEADER = "Synclog-Token-Expires"


class _OneRepresentation(DefaultContentNegotiation):
    """There is one representation of everything: a client that asks for another gets that one, not 406."""

    def select_renderer(
        self, request: Request, renderers: Any, format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        return renderers[0], renderers[0].media_type


class ApiView(APIView):
    """A route under /api/v1/. It declares in `needs` who may use it; see apps.api.permissions."""

    http_method_names = ["get", "head", "post"]
    needs: dict[str, Needs] = {}
    throttle_classes = (TokenThrottle, AddressThrottle)
    parser_classes = (BoundedJSONParser,)
    content_negotiation_class = _OneRepresentation
    # Whether the view reads its body itself, as it comes.
    streams_body = False

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        token = request.auth
        if isinstance(token, ApiToken) and token.expires_soon:
            response.headers[EXPIRY_HEADER] = timestamp(token.expires_at)
        return super().finalize_response(request, response, *args, **kwargs)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if request.headers.get("Transfer-Encoding") and not self.streams_body:
            # Django takes a body without a length for an empty one: what it says would be passed over.
            raise LengthRequired(_("Say in Content-Length how many bytes come."))
