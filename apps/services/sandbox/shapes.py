"""Records on their way to a script, which gets the keys of each object in the order of the record.

The JSON decoder of Starlark sorts them. Therefore an object is sent as the array of its values after the number of its
shape, which is the list of its keys; an array begins with null instead. It costs no more time than objects.
"""

from __future__ import annotations

from json.encoder import encode_basestring
from typing import Any

from apps.services.exact_json import Encoder

# Restores the records in Starlark.
RESTORE = """
def restore(value, shapes):
    members = [restore(each, shapes) if type(each) == "list" else each for each in value[1:]]
    return members if value[0] == None else dict(zip(shapes[value[0]], members))
"""


class ShapeEncoder(Encoder):
    """Encodes one document."""

    def document(self, records: list[Any]) -> str:
        """The shapes and the records. Raises TypeError, ValueError or RecursionError if JSON cannot represent it."""
        self._shapes: dict[tuple[str, ...], int] = {}
        value = self.encode(records)
        shapes = (f"[{', '.join(map(encode_basestring, keys))}]" for keys in self._shapes)
        return f"[[{', '.join(shapes)}], {value}]"

    def _object(self, members: dict[str, Any]) -> str:
        number = self._shapes.setdefault(tuple(members), len(self._shapes))
        return f"[{', '.join([str(number), *self.texts(members.values())])}]"

    def _array(self, values: list[Any]) -> str:
        return f"[{', '.join(['null', *self.texts(values)])}]"


def restore(value: Any, shapes: list[list[str]]) -> Any:
    """As RESTORE, in Python."""
    if not isinstance(value, list):
        return value
    members = [restore(each, shapes) for each in value[1:]]
    return members if value[0] is None else dict(zip(shapes[value[0]], members, strict=True))
