"""Reading of options, with every error collected under its key and explained in the active language."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Annotated, Any, get_args, get_origin

from annotated_types import Ge, Le
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from pydantic import ValidationError as PydanticError
from pydantic.fields import FieldInfo

from apps.services.definition.option_types import SECRETS, Options, shorten
from apps.services.definition.placeholders import LocatedError


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


def choice_message(value: object, choices: Iterable[str]) -> str:
    """Error message for a value that is not among `choices`."""
    return _("“%(value)s” is not valid. Allowed: %(choices)s.") % {
        "value": shorten(value),
        "choices": ", ".join(choices),
    }


def fields_of(model: type[Options]) -> dict[str, FieldInfo]:
    """The options of `model` by name."""
    return {info.alias or name: info for name, info in model.model_fields.items()}


def union_members(field_info: FieldInfo) -> dict[str, type[Options]]:
    """The members of a union by the value of its discriminator."""
    annotation = getattr(field_info.annotation, "__value__", field_info.annotation)
    name = str(field_info.discriminator)
    return {get_args(member.model_fields[name].annotation)[0]: member for member in get_args(annotation)}


def nested_model(field_info: FieldInfo | None) -> type[Options] | None:
    """The model of an option that consists of other options; None for a single value and for a union."""
    if field_info is None or field_info.discriminator:
        return None
    for annotation in (field_info.annotation, *get_args(field_info.annotation)):
        if isinstance(annotation, type) and issubclass(annotation, Options):
            return annotation
    return None


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
        field_info = fields_of(model).get(str(part))
        if field_info is not None and field_info.discriminator:
            if detail["type"].startswith("union_tag"):
                return f"{'.'.join(keys)}.{field_info.discriminator}", field_info
            if (tag := next(location, None)) is not None:
                model = union_members(field_info)[str(tag)]
        elif (nested := nested_model(field_info)) is not None:
            model = nested
    if isinstance(error := detail.get("ctx", {}).get("error"), LocatedError):
        keys += error.location
    return ".".join(keys), field_info


def _message(model: type[Options], detail: Any, field_info: FieldInfo | None) -> str:
    """What is wrong, then what to write."""
    kind, value = detail["type"], shorten(detail.get("input"))
    if kind == "value_error":
        return str(detail["ctx"]["error"])
    if kind == "missing":
        return _("Required.")
    if kind == "extra_forbidden":
        allowed = ", ".join(sorted(_allowed_keys(model, detail["loc"])))
        return _("Unknown option. Allowed: %(names)s.") % {"names": allowed}
    if kind.startswith("union_tag"):
        members = union_members(field_info) if field_info else {}
        tag = detail.get("input")
        tag = tag.get(str(field_info.discriminator), "") if field_info and isinstance(tag, Mapping) else tag
        return choice_message(tag, members)
    if kind in ("literal_error", "enum"):
        return choice_message(
            value, detail["ctx"]["expected"].replace("'", "").replace(" or ", ", ").split(", ")
        )
    if kind.startswith(("int_", "float_", "greater_", "less_", "finite_")):
        return _number_message(value, field_info)
    if kind.startswith("bool_"):
        return _("“%(value)s” is not valid; write true or false.") % {"value": value}
    if kind.startswith(("dict_", "model_")):
        return _("Write names with their values, not %(value)s.") % {"value": value}
    if detail["loc"][-1] in SECRETS:
        return _("Write text, in quotes if it is a number.")
    return _("Write text, not %(value)s.") % {"value": value}


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


def _allowed_keys(model: type[Options], location: tuple[str | int, ...]) -> Iterable[str]:
    for part, tag in pairwise(location):
        field_info = model.model_fields.get(str(part))
        if field_info is not None and field_info.discriminator:
            model = union_members(field_info)[str(tag)]
        elif (nested := nested_model(field_info)) is not None:
            model = nested
    return fields_of(model)
