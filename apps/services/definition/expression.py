"""JMESPath expressions that options contain."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import jmespath
from django.utils.translation import gettext as _
from jmespath.exceptions import JMESPathError
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
        except JMESPathError as error:
            reason = str(error).strip().splitlines()[0].rstrip(": ")
            raise ValueError(reason.removeprefix("Invalid jmespath expression: ")) from None
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
