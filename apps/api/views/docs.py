"""The API's reference as a page: written from its own description, with a `curl` line to try for each operation."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import get_language
from django.views.decorators.http import require_safe
from drf_spectacular.generators import SchemaGenerator

_METHODS = ("get", "post", "put")
_GROUPS = {"services": "Services", "runs": "Runs", "payloads": "Payloads"}


@require_safe
def docs(request: HttpRequest) -> HttpResponse:
    """Public as the description is; it holds nothing of what the service holds."""
    base = request.build_absolute_uri("/").rstrip("/")
    return render(request, "api/docs.html", {"groups": _reference(get_language() or "en"), "base": base})


@cache
def _reference(_language: str) -> list[dict[str, Any]]:
    schema: Any = SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]
    groups: dict[str, list[dict[str, Any]]] = {name: [] for name in _GROUPS}
    for path, operations in schema["paths"].items():
        for method in _METHODS:
            if method in operations:
                entry = _entry(path, method, operations[method], schema["components"]["schemas"])
                groups[path.split("/")[3]].append(entry)
    return [{"name": name, "title": _GROUPS[name], "operations": groups[name]} for name in groups]


def _entry(path: str, method: str, operation: dict[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    inputs = [one for one in operation.get("parameters", ()) if not one.get("x-response")]
    body = _body(operation.get("requestBody"), schemas)
    return {
        "id": operation["operationId"],
        "method": method.upper(),
        "path": path,
        "summary": operation.get("summary", ""),
        "description": operation.get("description", ""),
        "parameters": [_parameter(one) for one in inputs],
        "body": body,
        "answers": [_answer(status, answer) for status, answer in operation["responses"].items()],
        "curl": _curl(path, method, body),
    }


def _parameter(parameter: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": parameter["name"],
        "place": parameter["in"],
        "type": _type(parameter.get("schema", {})),
        "is_required": parameter.get("required", False),
        "description": parameter.get("description", ""),
    }


def _answer(status: str, answer: dict[str, Any]) -> dict[str, Any]:
    contents = answer.get("content", {})
    named = [media.get("schema", {}).get("$ref", "").rpartition("/")[2] for media in contents.values()]
    return {
        "status": status,
        "types": ", ".join(contents),
        "schema": ", ".join(filter(None, named)),
        "description": answer.get("description", ""),
    }


def _body(body: dict[str, Any] | None, schemas: dict[str, Any]) -> dict[str, Any] | None:
    """The first kind of body that is taken, its fields, and an example of it."""
    if not body:
        return None
    media_type, media = next(iter(body["content"].items()))
    named = media["schema"].get("$ref", "").rpartition("/")[2]
    schema = schemas.get(named, {})
    required = schema.get("required", ())
    fields = [
        {
            "name": name,
            "type": _type(field),
            "is_required": name in required,
            "description": field.get("description", ""),
        }
        for name, field in schema.get("properties", {}).items()
    ]
    return {
        "types": ", ".join(body["content"]),
        "type": media_type,
        "fields": fields,
        "example": _example(named),
    }


def _example(named: str) -> str:
    line = {"sequence": 1, "level": "info", "step": "pull", "message": "250 orders"}
    examples: dict[str, Any] = {
        "Start": {"store": ["pull"]},
        "ReportedLines": {"lines": [line]},
        "Finish": {"status": "succeeded", "pulled_count": 250, "pushed_count": 249},
    }
    return (
        json.dumps(examples[named.removesuffix("Request")])
        if named.removesuffix("Request") in examples
        else ""
    )


def _curl(path: str, method: str, body: dict[str, Any] | None) -> list[str]:
    """The pieces of a command line: before the address, the path, and after."""
    before = 'curl -H "Authorization: Bearer $TOKEN"'
    after = ""
    if method == "put":
        before += " -T orders.json"
    elif body and body["example"]:
        before += f' -H "Content-Type: {body["type"]}"'
        after = f" -d '{body['example']}'"
    elif method == "post":
        before += " -X POST"
    if path.endswith("/download/"):
        before += " -OJ"
    return [before, path, after]


def _type(schema: dict[str, Any]) -> str:
    """A schema in a few words."""
    if "$ref" in schema:
        return str(schema["$ref"].rpartition("/")[2])
    if "enum" in schema:
        return " | ".join(map(str, schema["enum"]))
    if schema.get("type") == "array":
        return f"{_type(schema.get('items', {}))} …"
    for several in ("anyOf", "oneOf", "allOf"):
        if several in schema:
            return _type(schema[several][0])
    kind = schema.get("type", "any")
    words = " or ".join(kind) if isinstance(kind, list) else str(kind)
    return f"{words} ({schema['format']})" if "format" in schema else words
