"""Handbook topics: Markdown files next to the code, rendered to HTML and split into sections for the search."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.urls import reverse
from django.utils.safestring import SafeString, mark_safe
from django.utils.text import slugify

if TYPE_CHECKING:
    # For annotations only: at run time the library is imported by the page that needs it.
    from markdown_it.token import Token

# The app whose folder `handbook` holds the file, and the name of the file, in the order of the table of contents.
TOPICS = (
    ("console", "overview"),
    ("runs", "logs"),
    ("runs", "running-a-service"),
    ("runs", "records"),
    ("alerts", "problems"),
    ("alerts", "alerts"),
    ("services", "services"),
    ("services", "options"),
    ("services", "connections"),
    ("services", "pagination"),
    ("services", "apis"),
    ("services", "files"),
    ("services", "scripts"),
    ("services", "schedules"),
    ("runs", "payloads"),
    ("api", "api"),
    ("api", "reporting"),
    ("console", "accounts"),
    ("console", "audit"),
    ("console", "operations"),
    ("console", "promises"),
)


@dataclass
class Section:
    """A heading and the plain text below it."""

    title: str
    anchor: str
    text: str = ""


@dataclass(frozen=True)
class Topic:
    """One page of the handbook."""

    slug: str
    html: SafeString
    sections: list[Section] = field(repr=False)

    @property
    def title(self) -> str:
        return self.sections[0].title

    @property
    def url(self) -> str:
        return topic_url(self.slug)


@dataclass(frozen=True)
class Match:
    """A section that contains every word of a query."""

    topic: Topic
    section: Section
    excerpt: str

    @property
    def url(self) -> str:
        return f"{self.topic.url}#{self.section.anchor}"


def topic_url(slug: str) -> str:
    return reverse("admin:help_topic", args=[slug])


@cache
def all_topics() -> dict[str, Topic]:
    """All topics by slug, in the order of the table of contents."""
    return {slug: _topic(slug, topic_path(app, slug).read_text()) for app, slug in TOPICS}


def topic_path(app: str, slug: str) -> Path:
    return Path(apps.get_app_config(app).path) / "handbook" / f"{slug}.md"


def search(query: str) -> list[Match]:
    """The sections that contain every word of `query`, those with a word in their title first."""
    words = query.casefold().split()
    if not words:
        return []
    found = [
        (
            not any(word in section.title.casefold() for word in words),
            Match(topic, section, _excerpt(section, words)),
        )
        for topic in all_topics().values()
        for section in topic.sections
        if all(word in f"{section.title} {section.text}".casefold() for word in words)
    ]
    return [match for _is_in_text_only, match in sorted(found, key=lambda pair: pair[0])]


def _excerpt(section: Section, words: Sequence[str]) -> str:
    """The text around the first word that the section contains."""
    start = max(0, min(section.text.casefold().find(word) for word in words) - 60)
    end = start + 220
    return ("…" if start else "") + section.text[start:end].strip() + ("…" if end < len(section.text) else "")


def _topic(slug: str, source: str) -> Topic:
    # Only this page needs the library, and every command imports this module.
    from markdown_it import MarkdownIt

    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    markdown.add_render_rule("table_open", _open_table)
    markdown.add_render_rule("table_close", _close_table)
    tokens = markdown.parse(source)
    sections: list[Section] = []
    for token, inline in zip(tokens, [*tokens[1:], None], strict=True):
        if token.type == "heading_open" and inline is not None:
            title = _plain_text(inline)
            token.attrSet("id", slugify(title))
            sections.append(Section(title, slugify(title)))
        elif token.type in ("inline", "fence"):
            sections[-1].text += f"{_plain_text(token)} "
        for child in token.children or ():
            if child.type == "link_open":
                child.attrSet("href", _href(str(child.attrGet("href"))))
    html = markdown.renderer.render(tokens, markdown.options, {})
    # Our own files, rendered without raw HTML.
    return Topic(slug, mark_safe(html), sections)  # noqa: S308


def _plain_text(token: Token) -> str:
    if token.children is None:
        return token.content
    return "".join(" " if child.type == "softbreak" else child.content for child in token.children)


def _href(href: str) -> str:
    """The address of a link: a link to another Markdown file leads to its topic."""
    path, _hash, anchor = href.partition("#")
    if "://" in href or not path.endswith(".md"):
        return href
    return topic_url(Path(path).stem) + (f"#{anchor}" if anchor else "")


# Wide tables scroll within the page.
def _open_table(*_arguments: Any) -> str:
    return '<div class="table-card"><table>'


def _close_table(*_arguments: Any) -> str:
    return "</table></div>"
