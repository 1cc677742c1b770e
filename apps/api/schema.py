"""What the OpenAPI description at /api/schema/ cannot find out by itself."""

from __future__ import annotations

from typing import Any

from drf_spectacular.extensions import (
    OpenApiAuthenticationExtension,
    OpenApiSerializerExtension,
    OpenApiSerializerFieldExtension,
)

from apps.api.problems import CONTENT_TYPE
from apps.api.serializers import ProblemSerializer

# Any route may answer so.
_ANYWHERE = (401, 403, 429)


def answers(*problems: int) -> dict[tuple[int, str], Any]:
    """The problems that a route may answer with, for `extend_schema(responses=…)`; 401, 403 and 429 are added."""
    return {(status, CONTENT_TYPE): ProblemSerializer for status in sorted({*_ANYWHERE, *problems})}


class BearerScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "apps.api.authentication.TokenAuthentication"
    name = "bearer"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {
            "type": "http",
            "scheme": "bearer",
            "description": "A token from `manage.py create_token` or from the admin; it begins with `synclog_`.",
        }


class KnownKeysSchema(OpenApiSerializerExtension):  # type: ignore[no-untyped-call]
    target_class = "apps.api.serializers.KnownKeysSerializer"
    match_subclasses = True

    def map_serializer(self, auto_schema: Any, direction: Any) -> dict[str, Any]:
        schema: dict[str, Any] = auto_schema._map_serializer(self.target, direction, bypass_extensions=True)
        return schema | {"additionalProperties": False}


class SeveralFieldSchema(OpenApiSerializerFieldExtension):  # type: ignore[no-untyped-call]
    target_class = "apps.api.fields.SeveralField"

    def map_serializer_field(self, auto_schema: Any, direction: Any) -> dict[str, Any]:
        return {"type": "array", "items": {"type": "string", "enum": list(self.target.choices)}}
