"""JMESPath expressions described in the language of the reader."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _

from apps.services.definition.expression import Expression
from apps.services.definition.option_types import MAX_TEXT_LENGTH

_MAX_DEPTH = 8


def expression_text(text: str) -> str:
    """What the expression selects, empty for an empty one. Raises ValueError with the reason if it is invalid."""
    if not text.strip():
        return ""
    if len(text) > MAX_TEXT_LENGTH:
        raise ValueError(_("Too long; write at most %(max)d characters.") % {"max": MAX_TEXT_LENGTH})
    try:
        expression = Expression.compile(text)
    except ValueError as error:
        raise ValueError(_("Not a JMESPath expression: %(reason)s.") % {"reason": error}) from None
    return _("Selects %(what)s.") % {"what": _text_of(expression.compiled.parsed, "", _MAX_DEPTH)}


def _text_of(node: Any, place: str, depth: int) -> str:
    """What `node` selects within `place`, which is empty for the document itself."""
    children = node["children"]
    if not depth:
        return _("a nested expression")
    match node["type"]:
        case "identity" | "current":
            return place or _("the whole document")
        case "field" if place:
            return _("“%(name)s” of %(place)s") % {"name": node["value"], "place": place}
        case "field":
            return _("“%(name)s”") % {"name": node["value"]}
        case "subexpression" | "pipe" | "index_expression":
            first, second = children
            return _text_of(second, _text_of(first, place, depth - 1), depth - 1)
        case "index":
            place = place or _("the document")
            return _("element %(number)s of %(place)s") % {"number": node["value"], "place": place}
        case "projection" | "value_projection":
            whole = _text_of(children[0], place, depth - 1)
            return _text_of(children[1], _("each element of %(place)s") % {"place": whole}, depth - 1)
        case "filter_projection":
            whole = _text_of(children[0], place, depth - 1)
            some = _("the elements of %(place)s that meet the condition") % {"place": whole}
            return _text_of(children[1], some, depth - 1)
        case "flatten":
            whole = _text_of(children[0], place, depth - 1)
            return _("the flattened list %(place)s") % {"place": whole}
        case "or_expression":
            first, second = (_text_of(child, place, depth - 1) for child in children)
            return _("%(first)s, or if it is missing %(second)s") % {"first": first, "second": second}
        case "multi_select_list":
            parts = [_text_of(child, place, depth - 1) for child in children]
            return _("a list of %(parts)s") % {"parts": ", ".join(parts)}
        case "function_expression":
            parts = [_text_of(child, place, depth - 1) for child in children]
            return f"{node['value']}({', '.join(parts)})"
        case "literal":
            return _("the value %(value)s") % {"value": node["value"]}
        case _:
            return _("a valid expression")
