"""The ⋮ menu at the end of a row: a button that opens a popover with links and buttons."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from apps.console.ui.badges import icon


@dataclass(frozen=True)
class MenuItem:
    """One item: a link, a button that posts to `url`, or a button that copies `url`."""

    label: str
    url: str
    icon: str
    does: str = "open"  # "open", "post" or "copy"


def row_menu(menu_id: str, subject: str, items: Iterable[MenuItem]) -> SafeString:
    """The ⋮ button and its popover.

    Posting items are submit buttons with `formaction`, so the table must be in a form with the CSRF token.
    """
    return format_html(
        '<button type="button" class="menu-button" popovertarget="{0}" aria-label="{1}">{2}</button>'
        '<div popover id="{0}" class="menu">{3}</div>',
        menu_id,
        _("Actions for %(subject)s") % {"subject": subject},
        icon("ellipsis"),
        format_html_join("", "{}", ((_item(item),) for item in items)),
    )


def menu_heading() -> SafeString:
    """Heading of the column of menus, for screen readers."""
    return format_html('<span class="visually-hidden">{}</span>', _("Menu"))


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
