"""German translation: the catalogue is complete and compiled; other languages get English."""

import ast
import gettext
import json
import re
from collections.abc import Iterator
from pathlib import Path

import django
import pytest
from django.conf import settings
from django.test import Client
from django.utils.translation import gettext as translate
from django.utils.translation import override
from django.utils.translation.template import templatize

from tests.factories import make_run, make_user

CATALOGUE = Path(settings.LOCALE_PATHS[0]) / "de" / "LC_MESSAGES" / "django.po"


def strings(chunk: str, keyword: str) -> list[str]:
    """Returns the texts of a keyword in a catalogue entry; for `msgstr` all plural forms."""
    found = re.findall(rf'^{keyword}(?:\[\d\])? ((?:".*"\n?)+)', chunk, re.MULTILINE)
    return ["".join(json.loads(line) for line in text.strip().splitlines()) for text in found]


def entries() -> list[str]:
    return CATALOGUE.read_text().split("\n\n")[1:]


def test_catalogue_is_complete_with_the_same_placeholders() -> None:
    assert len(entries()) > 500
    for entry in entries():
        [original] = strings(entry, "msgid")
        translations = strings(entry, "msgstr")
        assert all(translations), entry
        assert "fuzzy" not in entry
        allowed = [original, *strings(entry, "msgid_plural")]
        for translation in translations:
            assert placeholders(translation) in map(placeholders, allowed), entry


def test_catalogue_contains_every_text_of_code_and_templates() -> None:
    known = {strings(entry, "msgid")[0] for entry in entries()}
    locale = Path(django.__file__).parent / "conf" / "locale"
    of_django = gettext.translation("django", locale, ["de"])

    used = set(texts_of_code()) | set(texts_of_templates())

    assert len(used) > 500
    assert {text for text in used - known if of_django.gettext(text) == text} == set()


def test_pages_of_django_are_translated() -> None:
    """Its German catalogue lacks the texts of recent versions."""
    folders = [Path(django.__file__).parent / "contrib" / app for app in ("admin", "auth")]
    used = {text for folder in folders for text in (*texts_of_code(folder), *texts_of_templates(folder))}
    same_in_german = {", ", "%(class_name)s %(instance)s", "Administration", "Filter"}

    with override("de"):
        assert {text for text in used if text and translate(text) == text} - same_in_german == set()


def texts_of_code(folder: Path = Path(settings.BASE_DIR) / "apps") -> Iterator[str]:
    functions = {"_", "gettext", "gettext_lazy", "ngettext", "ngettext_lazy", "pgettext"}
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in functions:
                first = node.args[0]
                if isinstance(first, ast.Constant) and isinstance(first.value, str):
                    yield first.value


def texts_of_templates(folder: Path = Path(settings.BASE_DIR) / "templates") -> Iterator[str]:
    call = re.compile(r"""\b(?:_|gettext|ngettext)\(u?('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")""")
    for path in (*folder.rglob("*.html"), *folder.rglob("*.txt")):
        for literal in call.findall(templatize(path.read_text(), origin=str(path))):
            yield ast.literal_eval(literal)


def placeholders(text: str) -> set[str]:
    return set(re.findall(r"%\(\w+\)[a-z]|%s|\{\w+\}", text))


def test_compiled_catalogue_matches_its_source() -> None:
    with CATALOGUE.with_suffix(".mo").open("rb") as file:
        compiled = gettext.GNUTranslations(file)

    for entry in entries():
        if "msgid_plural" not in entry:
            assert compiled.gettext(strings(entry, "msgid")[0]) == strings(entry, "msgstr")[0]


@pytest.mark.django_db
def test_pages_use_the_requested_language(client: Client) -> None:
    run = make_run()
    client.force_login(make_user(is_superuser=True))
    pages = {
        "/admin/services/service/": ("View logs", "Protokolle ansehen"),
        f"/admin/services/service/{run.service_id}/runs/": ("More details", "Weitere Details"),
        f"/admin/services/service/{run.service_id}/run/": (
            "Store pull payloads",
            "Abgerufene Payloads speichern",
        ),
        "/admin/": ("Running now", "Läuft gerade"),
    }

    for address, (english, german) in pages.items():
        text = client.get(address, headers={"accept-language": "de"}).content.decode()
        assert (german in text, english in text) == (True, False)
        assert 'lang="de"' in text
        for language in ("en", "", "ja"):
            text = client.get(address, headers={"accept-language": language}).content.decode()
            assert (english in text, german in text) == (True, False)
