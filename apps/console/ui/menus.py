"""The ⋮ menu at the end of a row: a button that opens a popover with links and buttons."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass

from django.utils.html import escape, format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from apps.console.ui.badges import icon
from apps.console.ui.links import ANY_NUMBER

# Stands for the name of a row in what is rendered once for all rows.
_ANY_NAME = "\0"


@dataclass(frozen=True)
class MenuItem:
    """One item: a link, a button that posts to `url`, or a button that copies `url`."""

    label: str
    url: str
    icon: str
    does: str = "open"  # "open", "post" or "copy"


class RowMenus:
    """The ⋮ menus of the rows of a page, with ids such as "run-7"; rendered once for all rows with the same items.

    Posting items are submit buttons with `formaction`, so the table must be in a form with the CSRF token.
    """

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._rendered: dict[Hashable, str] = {}

    def html(
        self, number: int, name: str, kind: Hashable, items: Callable[[int], Iterable[MenuItem]]
    ) -> SafeString:
        """The menu of a row; rows of the same `kind` have the same `items` apart from their number."""
        if (menu := self._rendered.get(kind)) is None:
            menu = _menu(f"{self._prefix}-{ANY_NUMBER}", _ANY_NAME, items(ANY_NUMBER))
            self._rendered[kind] = menu
        return SafeString(menu.replace(str(ANY_NUMBER), str(number)).replace(_ANY_NAME, escape(name)))


def menu_heading() -> SafeString:
    """Heading of the column of menus, for screen readers."""
    return format_html('<span class="visually-hidden">{}</span>', _("Menu"))


def _menu(menu_id: str, subject: str, items: Iterable[MenuItem]) -> str:
    return format_html(
        '<button type="button" class="menu-button" popovertarget="{0}" aria-label="{1}">{2}</button>'
        '<div popover id="{0}" class="menu">{3}</div>',
        menu_id,
        _("Actions for %(subject)s") % {"subject": subject},
        icon("ellipsis"),
        format_html_join("", "{}", ((_item(item),) for item in items)),
    )


def _item(item: MenuItem) -> SafeString:
    if item.does == "post":
        return format_html(
            '<button type="submit" formmethod="post" formaction="{}">{}{}</button>',
            item.url,
            icon(item.icon),
            item.label,
        )
    if item.does == "copy":
        return format_html(
            '<button type="button" data-copy="{}">{}{}</button>', item.url, icon(item.icon), item.label
        )
    return format_html('<a href="{}">{}{}</a>', item.url, icon(item.icon), item.label)
