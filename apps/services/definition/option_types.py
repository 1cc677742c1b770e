"""Types of options, and the reading of options with every error collected under its key."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Annotated, Any, get_args, get_origin
from urllib.parse import unquote

import jmespath
from annotated_types import Ge, Le
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from jmespath.exceptions import JMESPathError
from jmespath.parser import ParsedResult
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
from pydantic import ValidationError as PydanticError
from pydantic.fields import FieldInfo

MAX_TEXT_LENGTH = 2000
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_PLACEHOLDER = re.compile(r"\{[^{}]*\}?|\}")
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


@dataclass(frozen=True)
class Expression:
    """A compiled JMESPath expression; two are equal if their texts are."""

    text: str
    compiled: ParsedResult = field(compare=False, repr=False)

    @classmethod
    def compile(cls, text: str) -> Expression:
        """Raises ValueError with the reason if `text` is not a JMESPath expression."""
        try:
            return cls(text, jmespath.compile(text))
        except JMESPathError as error:
            reason = str(error).strip().splitlines()[0].rstrip(": ")
            raise ValueError(reason.removeprefix("Invalid jmespath expression: ")) from None
        except RecursionError:
            raise ValueError(_("it is nested too deeply")) from None

    def search(self, document: Any) -> Any:
        """The value at the expression in `document`, None if there is none. Raises JMESPathError."""
        return self.compiled.search(document)


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


def _check_path(value: str) -> str:
    """A path below the address of the connection, which no part of it may leave."""
    if ".." in re.split(r"[/\\?#]", _unquote_fully(value)):
        raise ValueError(_("“..” would leave the connection's address; write the path below it."))
    if "://" in value.split("?", 1)[0] or "::" in value:
        raise ValueError(_("An address is not allowed; write the path below the connection's address."))
    if "\\" in value:
        raise ValueError(_("A backslash is not allowed; separate folders with /."))
    return value


def _check_http_path(value: str) -> str:
    if "#" in value or " " in value:
        raise ValueError(_("# and spaces are not allowed; write %23 and %20."))
    return _check_placeholders(value, ())


def _check_file_path(value: str) -> str:
    if value.startswith(("/", "~")):
        raise ValueError(_("A leading / or ~ is not allowed; write the path below the connection's folder."))
    return value


def _check_source_file(value: str) -> str:
    return _check_placeholders(value, ())


def _check_destination_file(value: str) -> str:
    if any(character in value for character in "*?["):
        raise ValueError(_("Wildcards are not allowed in the name of a file to write; remove *, ? and [."))
    if value.endswith("/"):
        raise ValueError(_("This is a folder; add a file name such as {run}.json."))
    return _check_placeholders(value, ("{run}", "{page}"))


def _check_placeholders(value: str, known: tuple[str, ...]) -> str:
    for placeholder in _PLACEHOLDER.findall(value):
        if placeholder not in known:
            way_out = (
                _("use %(known)s") % {"known": ", ".join(known)}
                if known
                else _("write %7B and %7D for braces")
            )
            raise ValueError(
                _("Unknown placeholder “%(name)s”; %(way_out)s.") % {"name": placeholder, "way_out": way_out}
            )
    return value


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


type Text = Annotated[StrictStr, AfterValidator(_check_text)]
type Flag = StrictBool
WholeNumber = Annotated[int, BeforeValidator(_refuse_fraction)]
Number = Annotated[float, BeforeValidator(_parse_number)]
type JMESPath = Annotated[
    Expression,
    BeforeValidator(_compile_expression),
    PlainSerializer(lambda expression: expression.text),
    WithJsonSchema({"type": "string"}),
]
type HttpPath = Annotated[Text, AfterValidator(_check_path), AfterValidator(_check_http_path)]
type _FilePath = Annotated[Text, AfterValidator(_check_path), AfterValidator(_check_file_path)]
type SourceFile = Annotated[_FilePath, AfterValidator(_check_source_file)]
type DestinationFile = Annotated[_FilePath, AfterValidator(_check_destination_file)]
type HeaderName = Annotated[Text, AfterValidator(_check_header_name)]
type VariableName = Annotated[Text, AfterValidator(_check_variable_name)]
type Parameters = dict[
    str, Annotated[str, BeforeValidator(_parameter_text, json_schema_input_type=str | float | bool)]
]
type Headers = dict[
    Annotated[str, AfterValidator(_check_own_header)],
    Annotated[
        str,
        BeforeValidator(_parameter_text, json_schema_input_type=str | float | bool),
        AfterValidator(_check_header_value),
    ],
]


def read_options[Model: Options](model: type[Model], data: object, **context: object) -> Model:
    """`data` as `model`. Raises Django's ValidationError with every error under its key, as in `pagination.type`.

    `context` is for validators that depend on something outside of the options.
    """
    try:
        return model.model_validate(data, context=context)
    except PydanticError as error:
        messages: dict[str, list[str]] = {}
        # Unknown options first: a misspelt name also makes the option missing.
        for detail in sorted(error.errors(), key=lambda detail: detail["type"] != "extra_forbidden"):
            key, field_info = _locate(model, detail)
            messages.setdefault(key, []).append(_message(model, detail, field_info))
        raise ValidationError(messages) from None


def _unquote_fully(value: str) -> str:
    """`value` without percent escapes, also those that were escaped twice."""
    while (plain := unquote(value)) != value:
        value = plain
    return value


def shorten(value: object) -> str:
    text = str(value)
    return text if len(text) <= 80 else f"{text[:80]}…"


def union_members(field_info: FieldInfo) -> dict[str, type[Options]]:
    """The members of a union by the value of its discriminator."""
    annotation = getattr(field_info.annotation, "__value__", field_info.annotation)
    name = str(field_info.discriminator)
    return {get_args(member.model_fields[name].annotation)[0]: member for member in get_args(annotation)}


def is_whole_number(field_info: FieldInfo) -> bool:
    return int in (field_info.annotation, *map(_bare_type, get_args(field_info.annotation)))


def _bare_type(annotation: Any) -> Any:
    return get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation


def _locate(model: type[Options], detail: Any) -> tuple[str, FieldInfo | None]:
    """The dotted key of an error and the field it belongs to. Tags of unions are not part of the key."""
    keys: list[str] = []
    field_info = None
    location = iter(detail["loc"])
    for part in location:
        if part == "[key]":
            continue
        keys.append(str(part))
        field_info = model.model_fields.get(str(part))
        if field_info is not None and field_info.discriminator:
            if detail["type"].startswith("union_tag"):
                return f"{'.'.join(keys)}.{field_info.discriminator}", field_info
            if (tag := next(location, None)) is not None:
                model = union_members(field_info)[str(tag)]
    return ".".join(keys), field_info


def _message(model: type[Options], detail: Any, field_info: FieldInfo | None) -> str:
    """What is wrong, then what to write."""
    kind, value = detail["type"], shorten(detail.get("input"))
    if kind == "value_error":
        return str(detail["ctx"]["error"])
    if kind == "missing":
        return _("Required.")
    if kind == "extra_forbidden":
        known = _known_keys(model, detail["loc"])
        return _("Unknown option; known are %(known)s.") % {"known": ", ".join(sorted(known))}
    if kind.startswith("union_tag"):
        members = union_members(field_info) if field_info else {}
        tag = detail.get("input")
        tag = tag.get(str(field_info.discriminator), "") if field_info and isinstance(tag, Mapping) else tag
        return _one_of(shorten(tag), members)
    if kind in ("literal_error", "enum"):
        return _one_of(value, detail["ctx"]["expected"].replace("'", "").replace(" or ", ", ").split(", "))
    if kind.startswith(("int_", "float_", "greater_", "less_", "finite_")):
        return _number_message(value, field_info)
    if kind.startswith("bool_"):
        return _("“%(value)s” is not valid; write true or false.") % {"value": value}
    if kind.startswith(("dict_", "model_")):
        return _("Write names with their values, not %(value)s.") % {"value": value}
    return _("Write text, not %(value)s.") % {"value": value}


def _one_of(value: str, choices: Iterable[str]) -> str:
    return _("“%(value)s” is not known; write one of %(choices)s.") % {
        "value": value,
        "choices": ", ".join(choices),
    }


def _number_message(value: str, field_info: FieldInfo | None) -> str:
    bounds = {"value": value, "min": 0, "max": 0}
    metadata = field_info.metadata if field_info else ()
    for bound in metadata:
        if isinstance(bound, Ge):
            bounds["min"] = bound.ge
        elif isinstance(bound, Le):
            bounds["max"] = bound.le
    if field_info and is_whole_number(field_info):
        return _("“%(value)s” is not valid; write a whole number from %(min)d to %(max)d.") % bounds
    return _("“%(value)s” is not valid; write a number from %(min)g to %(max)g.") % bounds


def _known_keys(model: type[Options], location: tuple[str | int, ...]) -> Iterable[str]:
    for part, tag in pairwise(location):
        field_info = model.model_fields.get(str(part))
        if field_info is not None and field_info.discriminator:
            model = union_members(field_info)[str(tag)]
    return model.model_fields
