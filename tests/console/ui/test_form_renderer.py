"""Form fields have the same HTML as those of Django's templates."""

from django import forms
from django.forms.renderers import DjangoTemplates
from django.test.html import parse_html

from apps.console.ui.form_renderer import FormRenderer

EVIL = '"><b>&'


class Fields(forms.Form):
    text = forms.CharField(
        required=False, max_length=9, widget=forms.TextInput({"data-a": EVIL, "hidden": True})
    )
    empty = forms.CharField(required=False, initial=None)
    number = forms.IntegerField(min_value=1, initial=5)
    secret = forms.CharField(widget=forms.PasswordInput)
    hidden = forms.CharField(widget=forms.HiddenInput, initial=EVIL)
    checked = forms.BooleanField(initial=True)
    unchecked = forms.BooleanField(required=False)
    area = forms.CharField(widget=forms.Textarea, initial=f"\n{EVIL}\r\nb")
    choice = forms.ChoiceField(choices=[("", "---"), ("a", EVIL), (EVIL, "c"), (3, "d")], initial=EVIL)
    choices = forms.MultipleChoiceField(choices=[("a", "A"), ("b", "B")], initial=["a", "b"])
    grouped = forms.ChoiceField(choices=[("G", [("a", "A")]), ("b", "B")], initial="a")
    radio = forms.ChoiceField(choices=[("a", "A")], widget=forms.RadioSelect)


def test_html_is_that_of_the_templates() -> None:
    ours, theirs = Fields(renderer=FormRenderer()), Fields(renderer=DjangoTemplates())
    for name in Fields.base_fields:
        html = str(ours[name])
        assert parse_html(html) == parse_html(str(theirs[name])), html


def test_invalid_input_is_shown_as_it_was_typed() -> None:
    data = {"number": EVIL, "area": EVIL, "choice": EVIL}
    ours, theirs = Fields(data, renderer=FormRenderer()), Fields(data, renderer=DjangoTemplates())
    assert parse_html(ours.as_p()) == parse_html(theirs.as_p())
