"""JMESPath expressions that options contain."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import jmespath
from django.utils.translation import gettext as _
from jmespath.exceptions import EmptyExpressionError, JMESPathError, ParseError
from jmespath.parser import ParsedResult


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
        except EmptyExpressionError:
            raise ValueError(_("it is empty")) from None
        except ParseError as error:
            raise ValueError(_reason(error)) from None
        except JMESPathError as error:
            raise ValueError(str(error).strip().splitlines()[0].rstrip(": ")) from None
        except RecursionError:
            raise ValueError(_("it is nested too deeply")) from None

    def search(self, document: Any) -> Any:
        """The value at the expression in `document`, None if there is none. Raises JMESPathError."""
        try:
            return self.compiled.search(document)
        except TypeError:
            # jmespath compares values of any types, and looks for them in others.
            raise JMESPathError(
                "values of different types are compared; convert one by to_number(…) or to_string(…)"
            ) from None
        except ArithmeticError as error:
            raise JMESPathError(f"{error}") from None


def _reason(error: ParseError) -> str:
    """What is wrong, where, and what to write."""
    text, kind, number = error.token_value, str(error.token_type), error.lex_position + 1
    if text is None or kind == "EOF":
        return _("something is missing at its end")
    if kind.startswith("UNCLOSED"):
        return _("the %(character)s at character %(number)d is not closed") % {
            "character": text[0],
            "number": number,
        }
    place = _("“%(text)s” is unexpected at character %(number)d") % {"text": text, "number": number}
    if text == "=":
        return _("%(place)s; two values are compared by ==") % {"place": place}
    if kind == "NUMBER":
        return _("%(place)s; numbers are written as `1`, with backquotes") % {"place": place}
    if kind.startswith("UNKNOWN"):
        return _('%(place)s; names that contain it are written as "a-b", with quotes') % {"place": place}
    return place
