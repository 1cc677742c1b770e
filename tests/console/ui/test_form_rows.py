"""Rows of admin forms: values, errors and languages are never those of another request."""

from typing import Any

import pytest
from django import forms
from django.contrib.admin.helpers import Fieldset
from django.test.html import parse_html
from django.utils.translation import gettext_lazy, override

from apps.console.ui.form_rows import form_rows

EVIL = '"><b>&'


class Fields(forms.Form):
    text = forms.CharField(label=gettext_lazy("Path"), help_text="Some <code>help</code>")
    number = forms.IntegerField(required=False, label="number", widget=forms.NumberInput({"min": 0}))
    choice = forms.ChoiceField(choices=[("", "-"), ("a", "A")], required=False)
    checked = forms.BooleanField(required=False)


def rows(data: dict[str, Any] | None = None, **options: Any) -> str:
    return form_rows(Fieldset(Fields(data, **options), fields=("text", ("number", "choice"), "checked")))


def test_rows_have_label_help_and_widget() -> None:
    text, *_others = parse_html(rows()).children

    assert text == parse_html("""
        <div class="form-row field-text"><div class="flex-container">
        <label for="id_text" class="required">Path:</label>
        <div class="help" id="id_text_helptext"><div>Some <code>help</code></div></div>
        <input type="text" name="text" required id="id_text" aria-describedby="id_text_helptext">
        </div></div>""")


@pytest.mark.parametrize(
    ("initial", "expected"),
    [
        ({"text": EVIL}, 'value="&quot;&gt;&lt;b&gt;&amp;"'),
        ({"number": 0}, 'value="0"'),
        ({"choice": "a"}, '<option value="a" selected>A</option>'),
        ({"checked": True}, " checked"),
    ],
)
def test_row_with_a_value_differs_from_the_empty_one(initial: dict[str, Any], expected: str) -> None:
    empty = rows()

    assert expected in rows(initial=initial)
    assert expected not in empty
    assert rows() == empty


def test_errors_and_typed_values_are_shown_once() -> None:
    empty = rows()

    refused = rows({"text": "", "number": EVIL, "choice": EVIL})

    assert refused.count('<ul class="errorlist"') == 3
    assert "This field is required." in refused
    assert EVIL not in refused
    assert rows() == empty


def test_labels_are_in_the_active_language() -> None:
    assert "Path:" in rows()

    with override("de"):
        assert "Pfad:" in rows()
