"""Parts that the pages share: badges, menus, filters, formatting, navigation, paging.

May import no page.
"""
