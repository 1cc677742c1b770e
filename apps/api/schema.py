"""Extensions of drf-spectacular, which generates the OpenAPI description."""

from __future__ import annotations

from typing import Any

from drf_spectacular.extensions import (
    OpenApiAuthenticationExtension,
    OpenApiSerializerExtension,
    OpenApiSerializerFieldExtension,
)
from rest_framework import serializers

from apps.api.http.problems import CONTENT_TYPE
from apps.services.definition.schema import run_options_schema

# Statuses of the problems that every route may return.
_COMMON_STATUSES = (401, 403, 429)


class ProblemSerializer(serializers.Serializer[Any]):
    """An error (RFC 9457)."""

    type = serializers.CharField(help_text="URI of the kind of problem; about:blank = see the status.")
    title = serializers.CharField()
    status = serializers.IntegerField()
    detail = serializers.CharField()
    errors = serializers.DictField(  # type: ignore[assignment]
        child=serializers.ListField(child=serializers.CharField()),
        required=False,
        help_text="Errors by field or parameter.",
    )
    expected_sequence = serializers.IntegerField(required=False, help_text="Number of the next line.")
    run_status = serializers.CharField(required=False, help_text="Status of the run.")


def problem_responses(*statuses: int) -> dict[tuple[int, str], Any]:
    """Error responses of a route for `extend_schema(responses=…)`; 401, 403 and 429 are added."""
    return {(status, CONTENT_TYPE): ProblemSerializer for status in sorted({*_COMMON_STATUSES, *statuses})}


class BearerScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "apps.api.tokens.authentication.TokenAuthentication"
    name = "bearer"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {
            "type": "http",
            "scheme": "bearer",
            "description": "A token from `manage.py create_token` or from the console; it begins with "
            "`synclog_`.",
        }


class StrictSerializerSchema(OpenApiSerializerExtension):  # type: ignore[no-untyped-call]
    target_class = "apps.api.serializers.fields.StrictSerializer"
    match_subclasses = True

    def map_serializer(self, auto_schema: Any, direction: Any) -> dict[str, Any]:
        schema: dict[str, Any] = auto_schema._map_serializer(self.target, direction, bypass_extensions=True)
        return schema | {"additionalProperties": False}


class OptionsFieldSchema(OpenApiSerializerFieldExtension):  # type: ignore[no-untyped-call]
    target_class = "apps.api.serializers.runs.OptionsField"

    def map_serializer_field(self, auto_schema: Any, direction: Any) -> dict[str, Any]:
        return run_options_schema()


class MultipleChoiceFieldSchema(OpenApiSerializerFieldExtension):  # type: ignore[no-untyped-call]
    target_class = "apps.api.serializers.fields.MultipleChoiceField"

    def map_serializer_field(self, auto_schema: Any, direction: Any) -> dict[str, Any]:
        return {"type": "array", "items": {"type": "string", "enum": list(self.target.choices)}}
