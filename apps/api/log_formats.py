"""Formats of log lines: text for people, JSON for machines."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from apps.api.fields import timestamp
from apps.runs.log.reading import Line

# Indents the continuation of a message, which cannot be mistaken for a line of its own.
CONTINUATION = "    "


def as_text(line: Line) -> str:
    """`2026-11-23T07:15:09.123456Z INFO pull message`; continuations of a message are indented."""
    first, *rest = line.message.splitlines() or [""]
    head = f"{timestamp(line.logged_at)} {line.level.name:<5} {line.step.slug:<6} {first}"
    return "\n".join([head, *(CONTINUATION + text for text in rest)]) + "\n"


def as_json_line(document: Mapping[str, Any]) -> str:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"), default=str) + "\n"
