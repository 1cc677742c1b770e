"""README and handbook: links are valid, examples work, and every command and variable is documented."""

import re
import shlex
from pathlib import Path

import pytest
from django.core.management import get_commands, load_command_class
from django.utils.text import slugify
from pytest_django import Settings

from apps.console.help.topics import TOPICS, topic_path
from apps.services.definition.loading import load_services
from apps.services.definition.reference import option_reference
from apps.services.sandbox.process import check_script
from tests.documents import DOCUMENTS, HANDBOOK, ROOT, code_blocks

OPERATIONS = ROOT / "apps" / "console" / "handbook" / "operations.md"
# Only `make run` uses these.
INTERNAL_COMMANDS = {"run_demo"}


def anchors(path: Path) -> set[str]:
    return {
        slugify(title.replace("`", "")) for title in re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
    }


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_point_to_existing_files_and_headings(path: Path) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", path.read_text())
    local = [link for link in links if "://" not in link and not link.startswith("/")]

    targets = [(link, path.parent / link.partition("#")[0], link.partition("#")[2]) for link in local]

    assert [link for link, target, _anchor in targets if not target.exists()] == []
    assert [link for link, target, anchor in targets if anchor and anchor not in anchors(target)] == []


def test_every_handbook_file_is_a_topic() -> None:
    assert sorted(topic_path(app, slug) for app, slug in TOPICS) == HANDBOOK


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("name", "text"), code_blocks("yaml"), ids=lambda value: value if "\n" not in value else ""
)
def test_yaml_example_loads(name: str, text: str, settings: Settings) -> None:
    settings.FILE_ROOTS = (Path("/srv"),)

    result = load_services(text, filename=name)

    assert result.created


def test_script_example_is_valid() -> None:
    [example] = [text for name, text in code_blocks("python") if name.startswith("scripts.md")]

    check_script(example)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_commands_have_valid_arguments(path: Path) -> None:
    for name, arguments in re.findall(r"\./manage\.py (\w+)([^`|>\[\n]*)", path.read_text()):
        command = load_command_class(get_commands()[name], name)

        command.create_parser("manage.py", name).parse_args(shlex.split(arguments))


def test_option_reference_is_up_to_date() -> None:
    committed = ROOT / "apps" / "services" / "handbook" / "options.md"

    assert committed.read_text() == option_reference(), (
        f"run: ./manage.py service_schema --reference > {committed.relative_to(ROOT)}"
    )


def test_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


def test_operations_name_every_command() -> None:
    commands = {name for name, app in get_commands().items() if app.startswith("apps.")} - INTERNAL_COMMANDS

    named = set(re.findall(r"\./manage\.py (\w+)", OPERATIONS.read_text()))

    assert sorted(commands - named) == []


def test_operations_name_every_variable() -> None:
    sources = "".join(path.read_text() for path in (ROOT / "config").glob("*.py"))
    prefixes = "SYNCLOG|AWS|PAYLOAD|LOG|DJANGO|DATABASE|CELERY"
    set_by_synclog = {"DJANGO_SETTINGS_MODULE", "CELERY_SKIP_CHECKS"}
    read = set(re.findall(rf'"((?:{prefixes})(?:_[A-Z0-9]+)+)"', sources)) - set_by_synclog

    named = set(re.findall(r"`([A-Z][A-Z0-9_]+)`", OPERATIONS.read_text()))

    assert sorted(read - named) == []


def test_promises_name_existing_tests() -> None:
    promises = ROOT / "apps" / "console" / "handbook" / "promises.md"
    rows = [row for row in promises.read_text().splitlines() if row.startswith("| ") and "tests/" in row]

    named = {name for row in rows for name in re.findall(r"`(tests/\S+\.py)`", row)}

    assert len(rows) == 10
    assert [name for name in sorted(named) if "\ndef test_" not in (ROOT / name).read_text()] == []
