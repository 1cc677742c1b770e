"""The line at which the editor shows the error of a script."""

import pytest

from apps.services.sandbox.error_messages import error_place
from apps.services.sandbox.limits import ScriptError
from apps.services.sandbox.process import check_script


@pytest.mark.parametrize(
    ("script", "place"),
    [
        ("def transform(records):\n    return unknown\n", (2, "Variable `unknown` not found")),
        ("x = 1\n", (1, "the script has no function transform; write: def transform(records):")),
        ("x = 1\ntransform = 5\n", (2, "transform is not a function; write: def transform(records):")),
        (
            "\ndef transform(a, b):\n    return a\n",
            (2, "transform must take one parameter, the list of records"),
        ),
    ],
)
def test_place_of_an_invalid_script(script: str, place: tuple[int, str]) -> None:
    with pytest.raises(ScriptError) as caught:
        check_script(script)

    assert error_place(str(caught.value)) == place


def test_message_without_a_line_has_no_place() -> None:
    assert error_place("The script did not end within 28 s.") is None
