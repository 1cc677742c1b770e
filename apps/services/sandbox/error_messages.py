"""Error messages of scripts: the author's own lines, and the reason."""

from __future__ import annotations

import re

# File name of the code around a script, which is left out of tracebacks.
OURS = "<synclog>"

_OUR_FRAME = re.compile(rf"^  \* {OURS}:\d+, in .*\n(      .*\n)?", re.MULTILINE)
_NATIVE_FRAME = re.compile(r"^  \* [^\n]*\.rs:\d+, in .*\n(      .*\n)?", re.MULTILINE)
_ENTRY_FRAME = re.compile(r"^  File <builtin>, in <module>\n", re.MULTILINE)
_OUR_PLACE = re.compile(rf"^ +--> {OURS}:.*(?:\n *\d* +\|.*)*", re.MULTILINE)
_FRAME = re.compile(r"^  \* .*\n(?:      .*\n)?", re.MULTILINE)
_PYTHON_ERROR = re.compile(r"^error: \w*(?:Error|Reached): ", re.MULTILINE)
_REASON = re.compile(r"^error: (.+)", re.MULTILINE)
_PLACE = re.compile(r"^ +--> .+:(\d+):\d+$", re.MULTILINE)
_HEADLINE = re.compile(r"The script failed in line (\d+): (.+)")
_NO_FUNCTION = "the script has no function transform; write: def transform(records):"
_HEADER = "Traceback (most recent call last):\n"

_FRAMES_AT_EACH_END = 8
_LONGEST_LINE = 300
_LONGEST_TEXT = 8000

# Messages of the interpreter that do not say what to do.
_PLAINER = (
    (
        re.compile(r"Operation `serde::serialize` not supported on type `(\w+)`"),
        r"a value of type \1 cannot be encoded as JSON",
    ),
    (
        re.compile(r"^error: key must be a string", re.MULTILINE),
        "error: keys of a dict must be text in JSON",
    ),
    (
        re.compile(r"^error: Cycle detected.*", re.MULTILINE),
        "error: a list or dict that contains itself cannot be encoded as JSON",
    ),
    (
        re.compile(r"^error: Module has no symbol `transform`.*", re.MULTILINE),
        f"error: {_NO_FUNCTION}",
    ),
    (
        re.compile(r"^error: Integer value is too big to fit in i32: .*", re.MULTILINE),
        r"\g<0> (the largest is 2147483647)",
    ),
    (re.compile(r"^error: fail: ", re.MULTILINE), "error: "),
    (
        re.compile(r"^error: Starlark call stack overflow", re.MULTILINE),
        "error: too many nested calls",
    ),
)


def error_message(text: str, *, stopped: str = "") -> str:
    """The traceback of the script alone; `stopped` is the reason if it was stopped."""
    for pattern in (_OUR_FRAME, _NATIVE_FRAME, _ENTRY_FRAME, _OUR_PLACE):
        text = pattern.sub("", text)
    if stopped:
        text = text.replace("error: Evaluation cancelled", f"error: {stopped}")
    text = _PYTHON_ERROR.sub("error: ", text)
    for pattern, plainer in _PLAINER:
        text = pattern.sub(plainer, text)
    if not _FRAME.search(text):
        text = text.replace(_HEADER, "")
    text = _shorten_frames(text)
    lines = (line if len(line) <= _LONGEST_LINE else f"{line[:_LONGEST_LINE]} …" for line in text.split("\n"))
    text = "\n".join(lines).rstrip(" |\n")
    if "\n" not in text:
        text = text.removeprefix("error: ")
    return text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]} …"


def with_headline(text: str) -> str:
    """The explanation after a sentence with the reason and the line, if there are any."""
    reason, places = _REASON.search(text), _PLACE.findall(text)
    if reason is None or not places:
        return text
    return f"The script failed in line {places[-1]}: {reason.group(1)}\n{text}"


def error_place(text: str) -> tuple[int, str] | None:
    """The line and the reason of an explanation, None if it has no line. What is missing is missing in line 1."""
    if headline := _HEADLINE.match(text):
        return int(headline[1]), headline[2]
    places = ["1"] if text == _NO_FUNCTION else _PLACE.findall(text)
    return (int(places[-1]), text.split("\n", 1)[0]) if places else None


def _shorten_frames(text: str) -> str:
    """Shortens a deep traceback to its beginning and its end."""
    frames = list(_FRAME.finditer(text))
    left_out = frames[_FRAMES_AT_EACH_END:-_FRAMES_AT_EACH_END]
    if len(left_out) < 2:
        return text
    return f"{text[: left_out[0].start()]}  … {len(left_out)} more calls …\n{text[left_out[-1].end() :]}"
