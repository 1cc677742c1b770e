"""Extensions of the OpenAPI description."""

from __future__ import annotations

from typing import Any

from drf_spectacular.extensions import (
    OpenApiAuthenticationExtension,
    OpenApiSerializerExtension,
    OpenApiSerializerFieldExtension,
)

from apps.api.problems import CONTENT_TYPE
from apps.api.serializers import ProblemSerializer

# Any route may return these.
_ANYWHERE = (401, 403, 429)


def answers(*problems: int) -> dict[tuple[int, str], Any]:
    """Problems that a route may return, for `extend_schema(responses=…)`; 401, 403 and 429 are added."""
    return {(status, CONTENT_TYPE): ProblemSerializer for status in sorted({*_ANYWHERE, *problems})}


class BearerScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "apps.api.authentication.TokenAuthentication"
    name = "bearer"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {
            "type": "http",
            "scheme": "bearer",
            "description": "A token from `manage.py create_token` or from the console; it begins with "
            "`synclog_`.",
        }


class StrictSerializerSchema(OpenApiSerializerExtension):  # type: ignore[no-untyped-call]
    target_class = "apps.api.serializers.StrictSerializer"
    match_subclasses = True

    def map_serializer(self, auto_schema: Any, direction: Any) -> dict[str, Any]:
        schema: dict[str, Any] = auto_schema._map_serializer(self.target, direction, bypass_extensions=True)
        return schema | {"additionalProperties": False}


class MultipleChoiceFieldSchema(OpenApiSerializerFieldExtension):  # type: ignore[no-untyped-call]
    target_class = "apps.api.fields.MultipleChoiceField"

    def map_serializer_field(self, auto_schema: Any, direction: Any) -> dict[str, Any]:
        return {"type": "array", "items": {"type": "string", "enum": list(self.target.choices)}}
