"""Types of options and their validation."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

from django.utils.translation import gettext as _
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    PlainSerializer,
    StrictBool,
    StrictStr,
    ValidationInfo,
    WithJsonSchema,
    model_validator,
)

from apps.services.definition.expression import Expression
from apps.services.definition.placeholders import check_body, check_placeholders

MAX_TEXT_LENGTH = 2000
MAX_PAGE_SIZE = 100_000
# Options whose values no message may contain.
SECRETS = ("secret", "refresh_token", "passphrase")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_CONTROL_RANGES = r"\x00-\x1f\x7f"
_CONTROL = re.compile(f"[{_CONTROL_RANGES}]")
FIELD_PLACEHOLDER = re.compile(r"\{[\w.:@$-]+\}")
_STATUS = re.compile(r"[345][0-9]{2}", re.ASCII)
# Headers that the connector sets itself, or that carry credentials.
_RESERVED_HEADERS = {
    *("authorization", "connection", "content-encoding", "content-length", "cookie", "expect", "host"),
    *("idempotency-key", "proxy-authorization", "te", "trailer", "transfer-encoding", "upgrade"),
}


class Options(BaseModel):
    """Base of all options: unknown keys are errors, and an empty value means the default."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True, arbitrary_types_allowed=True)

    @model_validator(mode="before")
    @classmethod
    def _drop_empty(cls, data: Any) -> Any:
        if not isinstance(data, Mapping):
            return data
        return {key: value for key, value in data.items() if value is not None and value != ""}


def _check_text(value: str) -> str:
    if len(value) > MAX_TEXT_LENGTH:
        raise ValueError(_("Too long; write at most %(max)d characters.") % {"max": MAX_TEXT_LENGTH})
    if _CONTROL.search(value):
        raise ValueError(_("Line breaks and other control characters are not allowed; remove them."))
    return value


def _parse_number(value: Any) -> Any:
    """Refuses booleans, which Python counts as numbers; texts come from forms and the command line."""
    return str(value) if isinstance(value, bool) else value


def _refuse_fraction(value: Any) -> Any:
    value = _parse_number(value)
    return str(value) if isinstance(value, float) else value


def _compile_expression(value: Any) -> Expression:
    if isinstance(value, Expression):
        return value
    if not isinstance(value, str):
        raise ValueError(_("Write text, not %(value)s.") % {"value": shorten(value)})  # noqa: TRY004 - for Pydantic
    try:
        return Expression.compile(_check_text(value))
    except ValueError as error:
        raise ValueError(
            _("“%(text)s” is not a JMESPath expression: %(reason)s. Write one such as data.items.")
            % {"text": shorten(value), "reason": error}
        ) from None


def _refuse_fields(value: str) -> str:
    """Braces would be sent as they are."""
    if found := FIELD_PLACEHOLDER.search(value):
        raise ValueError(
            _(
                "Fields of the record such as “%(name)s” are replaced in the path only, as in /items?id={id}. Braces "
                "that are text need a space."
            )
            % {"name": found[0]}
        )
    return value


def _parse_statuses(value: Any) -> tuple[int, ...]:
    """A list of statuses; forms give them as text with commas."""
    parts = (
        value.split(",") if isinstance(value, str) else value if isinstance(value, list | tuple) else [value]
    )
    texts = [str(part).strip() for part in parts]
    if not all(_STATUS.fullmatch(text) for text in texts):
        raise ValueError(
            _("“%(value)s” is not valid; write HTTP statuses from 300 to 599, such as 409.")
            % {"value": shorten(value)}
        )
    return tuple(map(int, texts))


def _parameter_text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    raise ValueError(_("Write text or a number, not %(value)s.") % {"value": shorten(value)})


def _check_header_name(value: str) -> str:
    if not _HEADER_NAME.fullmatch(value):
        raise ValueError(_("Invalid header name; use letters, digits and hyphens, as in X-Api-Key."))
    return value


def _check_own_header(value: str, info: ValidationInfo) -> str:
    auth_header = (info.context or {}).get("auth_header", "")
    if _check_header_name(value).lower() in {*_RESERVED_HEADERS, auth_header.lower()}:
        raise ValueError(
            _("Synclog sets this header itself; remove it. Credentials belong to the connection.")
        )
    return value


def _check_header_value(value: str) -> str:
    if _CONTROL.search(value) or not value.isascii():
        raise ValueError(_("Invalid header value; write one line of ASCII text."))
    return value


def _check_variable_name(value: str) -> str:
    if not _VARIABLE_NAME.fullmatch(value):
        raise ValueError(_("Invalid variable name; use letters, digits and _, as in SHOP_TOKEN."))
    return value


def shorten(value: object) -> str:
    text = str(value)
    return text if len(text) <= 80 else f"{text[:80]}…"


type Text = Annotated[
    StrictStr,
    AfterValidator(_check_text),
    WithJsonSchema({"type": "string", "maxLength": MAX_TEXT_LENGTH, "pattern": f"^[^{_CONTROL_RANGES}]*$"}),
]
type Flag = StrictBool
WholeNumber = Annotated[int, BeforeValidator(_refuse_fraction)]
Number = Annotated[float, BeforeValidator(_parse_number)]
type JMESPath = Annotated[
    Expression,
    BeforeValidator(_compile_expression),
    PlainSerializer(lambda expression: expression.text),
    WithJsonSchema({"type": "string"}),
]
type Statuses = Annotated[
    tuple[int, ...], BeforeValidator(_parse_statuses, json_schema_input_type=list[int] | int | str)
]
type HeaderName = Annotated[Text, AfterValidator(_check_header_name)]
type VariableName = Annotated[Text, AfterValidator(_check_variable_name)]
type Parameters = dict[
    str,
    Annotated[
        str,
        BeforeValidator(_parameter_text, json_schema_input_type=str | float | bool),
        AfterValidator(_refuse_fields),
    ],
]
type JsonBody = Annotated[
    Any, AfterValidator(check_body), WithJsonSchema({"anyOf": [{"type": "object"}, {"type": "array"}]})
]
type Headers = dict[
    Annotated[str, AfterValidator(_check_own_header)],
    Annotated[
        str,
        BeforeValidator(_parameter_text, json_schema_input_type=str | float | bool),
        AfterValidator(_check_header_value),
        AfterValidator(_refuse_fields),
    ],
]
# Those of a source may contain placeholders.
type SourceParameters = dict[
    str,
    Annotated[
        str,
        BeforeValidator(_parameter_text, json_schema_input_type=str | float | bool),
        AfterValidator(check_placeholders),
    ],
]
type SourceHeaders = dict[
    Annotated[str, AfterValidator(_check_own_header)],
    Annotated[
        str,
        BeforeValidator(_parameter_text, json_schema_input_type=str | float | bool),
        AfterValidator(_check_header_value),
        AfterValidator(check_placeholders),
    ],
]
