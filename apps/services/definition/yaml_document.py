"""YAML document with the line of each key, read safely and strictly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import yaml

type KeyPath = tuple[str, ...]

# Limits against aliases that expand a small file into a huge document.
_MAX_NODES = 100_000
_MAX_DEPTH = 50
_TIMESTAMP = "tag:yaml.org,2002:timestamp"
_NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
# Options whose values are sent as text.
_TEXTS = ("params", "headers")


@dataclass(frozen=True)
class Problem:
    """An error on one line of a file."""

    line: int
    # Dotted, as in services.orders.source.page_size; empty for the whole file.
    key: str
    reason: str

    def __str__(self) -> str:
        return f"line {self.line}" + (f", {self.key}" if self.key else "") + f": {self.reason}"


class YamlDocument:
    """The `value` of a YAML text, the line of each key, and the problems found while reading.

    Tags that construct objects, duplicate keys and documents after the first are problems.
    """

    def __init__(self, text: str) -> None:
        self.value: Any = None
        self.problems: list[Problem] = []
        self._lines: dict[KeyPath, int] = {}
        self._node_count = 0
        loader = None
        try:
            loader = yaml.SafeLoader(text)
            if root := loader.get_single_node():
                self.value = self._value_of(loader, root, ())
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            self.problems.append(Problem(mark.line + 1 if mark else 1, "", error.problem or "Invalid YAML."))
        except yaml.YAMLError as error:
            # A character that YAML does not allow; the error has no line.
            position = getattr(error, "position", 0) or 0
            self.problems.append(Problem(text.count("\n", 0, position) + 1, "", str(error).splitlines()[0]))
        except RecursionError:
            self.problems.append(Problem(1, "", "The document is nested too deeply."))
        finally:
            if loader is not None:
                loader.dispose()

    def line_of(self, path: KeyPath) -> int:
        """Line of the key at `path`, or of the nearest key above it."""
        while path and path not in self._lines:
            path = path[:-1]
        return self._lines.get(path, 1)

    def note(self, path: KeyPath, reason: str) -> None:
        self.problems.append(Problem(self.line_of(path), ".".join(path), reason))

    def _value_of(self, loader: yaml.SafeLoader, node: yaml.Node, path: KeyPath) -> Any:
        self._node_count += 1
        if self._node_count > _MAX_NODES or len(path) > _MAX_DEPTH:
            raise yaml.MarkedYAMLError(
                problem="The document is too large or too deep; aliases (*) count each time they are used.",
                problem_mark=node.start_mark,
            )
        if isinstance(node, yaml.MappingNode):
            return self._mapping(loader, node, path)
        if isinstance(node, yaml.SequenceNode):
            return [
                self._value_of(loader, item, (*path, str(number))) for number, item in enumerate(node.value)
            ]
        # No option is a date. In a request, dates and numbers stay as written: 1.10 is not 1.1, and 0123 not 83.
        if node.tag == _TIMESTAMP or (node.tag in _NUMBERS and _is_text(path)):
            return str(node.value)
        try:
            return loader.construct_object(node)
        except ValueError as error:
            raise yaml.MarkedYAMLError(problem=str(error), problem_mark=node.start_mark) from None

    def _mapping(self, loader: yaml.SafeLoader, node: yaml.MappingNode, path: KeyPath) -> dict[str, Any]:
        mapping: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = self._value_of(loader, key_node, path)
            if isinstance(key, bool):
                # YAML 1.1 reads the keys on, off, yes and no as booleans.
                key = key_node.value
            inner = (*path, str(key))
            line = key_node.start_mark.line + 1
            if isinstance(key, dict | list):
                self.problems.append(Problem(line, ".".join(path), "Invalid key; a key must be text."))
            elif str(key) in mapping:
                self.problems.append(
                    Problem(line, ".".join(inner), f"Duplicate key; first on line {self._lines[inner]}.")
                )
            else:
                self._lines[inner] = line
                mapping[str(key)] = self._value_of(loader, value_node, inner)
        return mapping


def _is_text(path: KeyPath) -> bool:
    """Whether `path` is services.NAME.SIDE.params.KEY; a body may contain such keys as well, with numbers."""
    return len(path) == 5 and path[0] == "services" and path[3] in _TEXTS
