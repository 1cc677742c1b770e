"""JSON Schema: of a service file, for editors that complete and check it; of the options of a run, for the API."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, create_model

from apps.services.definition.connections import FileConnection, HttpConnection
from apps.services.definition.file_options import FileDestination, FileSource
from apps.services.definition.http_options import HttpDestination, HttpSource
from apps.services.definition.option_types import Options, Text
from apps.services.definition.options import RunOptions
from apps.services.definition.sections import sections, service_parts
from apps.services.definition.services import IntegrationService, ReportedService


def service_file_schema() -> dict[str, Any]:
    """JSON Schema 2020-12 of a file for `load_services`."""
    parts: dict[str, Any] = {
        part.name: (part.annotation(), Field([], title=part.name.capitalize()))
        for part in service_parts().values()
    }
    service: Any = create_model(
        "Service",
        __base__=IntegrationService,
        source=(_with_connection(HttpSource) | _with_connection(FileSource), ...),
        destination=(_with_connection(HttpDestination) | _with_connection(FileDestination), ...),
        **parts,
    )
    reported: Any = create_model("ReportedService", __base__=ReportedService, **parts)
    connection = Annotated[HttpConnection | FileConnection, Field(discriminator="kind")]
    others: dict[str, Any] = {
        section.name: (
            dict[str, section.annotation()],  # type: ignore[misc]
            Field({}, description=f"{section.name.capitalize()} by name."),
        )
        for section in sections().values()
    }
    file = create_model(
        "ServiceFile",
        __base__=Options,
        connections=(dict[str, connection], Field({}, description="Connections by name.")),
        services=(dict[str, service | reported], Field({}, description="Services by slug.")),
        **others,
    )
    schema = file.model_json_schema()
    for definition in schema["$defs"].values():
        # The suffix of the path gives the format; `auth: bearer` is short for `auth: {type: bearer}`.
        if "format" in definition.get("required", ()):
            definition["required"].remove("format")
        _use_standard_bounds(definition)
        if auth := definition.get("properties", {}).get("auth"):
            names = [*auth.pop("discriminator")["mapping"]]
            auth["oneOf"].append({"type": "string", "enum": names})
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def run_options_schema() -> dict[str, Any]:
    """JSON Schema of the options of a single run, without references."""
    schema = RunOptions.model_json_schema()
    definitions = schema.pop("$defs")
    for option in schema["properties"].values():
        option["anyOf"] = [_without_references(part, definitions) for part in option["anyOf"]]
    _use_standard_bounds(schema)
    return schema


def _without_references(part: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    if "$ref" in part:
        return _without_references(definitions[part["$ref"].rpartition("/")[2]], definitions)
    if "anyOf" in part:
        return part | {"anyOf": [_without_references(each, definitions) for each in part["anyOf"]]}
    return part


def _use_standard_bounds(definition: dict[str, Any]) -> None:
    """Pydantic gives the bounds of a nullable number under its own names."""
    for option in definition.get("properties", {}).values():
        for part in option.get("anyOf", ()):
            for pydantic_name, standard_name in (("ge", "minimum"), ("le", "maximum")):
                if pydantic_name in part:
                    part[standard_name] = part.pop(pydantic_name)


def _with_connection(model: type[Options]) -> Any:
    connection = Field(description="Name of the connection.")
    return create_model(f"{model.__name__}Options", __base__=model, connection=(Text, connection))
