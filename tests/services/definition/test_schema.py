"""JSON Schema of service files: valid files pass, invalid ones fail."""

import json
from io import StringIO

import pytest
import yaml
from django.core.exceptions import ValidationError
from django.core.management import call_command
from jsonschema import Draft202012Validator

from apps.services.definition.options import read_run_options
from apps.services.definition.schema import run_options_schema
from tests.services.definition.test_loading import EXAMPLE


@pytest.fixture(scope="module")
def validator() -> Draft202012Validator:
    output = StringIO()
    call_command("service_schema", stdout=output)
    schema = json.loads(output.getvalue())
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def test_example_file_is_valid(validator: Draft202012Validator) -> None:
    assert list(validator.iter_errors(yaml.safe_load(EXAMPLE))) == []


@pytest.mark.parametrize(
    "text",
    [
        "connections: {shop: {kind: http, base_url: 'http://h', auth: bearer}}",
        "services: {a: {source: {connection: c, path: x.csv}, destination: {connection: c, path: out.json}}}",
        "services: {a: {kind: reported, name: A}}",
    ],
)
def test_minimal_files_are_valid(validator: Draft202012Validator, text: str) -> None:
    assert list(validator.iter_errors(yaml.safe_load(text))) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("kind: file", "kind: tape"),
        ("type: bearer", "type: oauth"),
        ("max_attempts: 3", "max_attempt: 3"),
        ("max_attempts: 3", "max_attempts: 0"),
        ("page_size: 100", "page_size: many"),
        ("type: page", "type: pages"),
        ("connection: shop, ", ""),
        ("services:", "service:"),
    ],
)
def test_invalid_file_is_rejected(validator: Draft202012Validator, old: str, new: str) -> None:
    document = yaml.safe_load(EXAMPLE.replace(old, new, 1))

    assert not validator.is_valid(document)


def test_schema_contains_defaults_and_descriptions(validator: Draft202012Validator) -> None:
    definitions = validator.schema["$defs"]

    properties = definitions["HttpSourceOptions"]["properties"]
    assert properties["page_size"]["default"] == 100
    assert all("description" in option for option in properties.values())


@pytest.mark.parametrize("option", ["record_id", "since"])
@pytest.mark.parametrize(
    ("value", "is_valid"),
    [("x" * 2000, True), ("x" * 2001, False), ("10\t045", False), ("10\x7f045", False), (10045, True)],
)
def test_schema_and_validation_of_run_options_agree(option: str, value: str | int, is_valid: bool) -> None:
    assert Draft202012Validator(run_options_schema()).is_valid({option: value}) is is_valid
    if is_valid:
        assert read_run_options({option: value}) == {option: str(value)}
    else:
        with pytest.raises(ValidationError):
            read_run_options({option: value})
