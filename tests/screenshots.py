"""Takes screenshots of every page, light and dark, and saves them in ./screenshots.

    python -m tests.screenshots [--width 1440] [--folder screenshots] [--page home problems]

It creates a temporary database with sample runs and serves it.
"""

import argparse
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

from tests.chromium import HOW_TO_INSTALL, chromium_path

HEIGHT = 900
# Paths by name; in braces a row of the sample data.
PAGES = {
    "home": "/admin/",
    "services": "/admin/services/service/",
    "summary": "/admin/services/service/{services[0].pk}/runs/",
    "run-service": "/admin/services/service/{services[0].pk}/run/",
    "settings": "/admin/services/service/{services[0].pk}/change/",
    "log-running": "/admin/runs/run/{running.pk}/log/",
    "log-failed": "/admin/runs/run/{failed.pk}/log/",
    "runs": "/admin/runs/run/",
    "records": "/admin/records/",
    "records-of-run": "/admin/records/?run={refusing.pk}&outcome=refused",
    "records-nothing": "/admin/records/?key=4711*&outcome=refused",
    "records-wrong-filter": "/admin/records/?outcome=lost&run=abc",
    "record-history": "/admin/records/?key=10045",
    "preview-record": "/admin/runs/run/{refusing.pk}/payloads/{payload.pk}/preview/?record=10045#record",
    "resync": "/admin/records/resync/?run={refusing.pk}&outcome=refused",
    "problems": "/admin/problems/",
    "problem": "/admin/problems/{problem.pk}/",
    "incidents": "/admin/alerts/incident/",
    "incident": "/admin/alerts/incident/{incident.pk}/change/",
    "rules": "/admin/alerts/rule/",
    "rule": "/admin/alerts/rule/{rule.pk}/change/",
    "rule-add": "/admin/alerts/rule/add/",
    "channels": "/admin/alerts/channel/",
    "channel": "/admin/alerts/channel/{channel.pk}/change/",
    "channel-add": "/admin/alerts/channel/add/",
    "deliveries": "/admin/alerts/delivery/",
    "delivery": "/admin/alerts/delivery/{delivery.pk}/change/",
    "maintenance-windows": "/admin/alerts/maintenancewindow/",
    "maintenance-window-add": "/admin/alerts/maintenancewindow/add/",
    "connections": "/admin/services/connection/",
    "payloads": "/admin/runs/payload/",
    "audit": "/admin/audit/",
    "time-zone": "/admin/time-zone/",
    "nothing-ran": "/admin/services/service/{services[7].pk}/runs/?period=1h",
    "search": "/admin/search/?q=1004*",
    "search-part": "/admin/search/?q=ware",
    "search-nothing": "/admin/search/?q=7777*",
    "search-empty": "/admin/search/",
    "users": "/admin/auth/user/",
    "help": "/admin/help/schedules/",
    "help-search": "/admin/help/?q=payload",
}


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.screenshots", description=__doc__)
    parser.add_argument("--width", type=int, nargs="*", default=[1440], help="widths in pixels")
    parser.add_argument("--folder", type=Path, default=Path("screenshots"))
    parser.add_argument("--page", nargs="*", help="names of pages; default: all")
    options = parser.parse_args(arguments)
    chromium = chromium_path()
    if chromium is None:
        print(f"Chromium is not installed; {HOW_TO_INSTALL}", file=sys.stderr)
        return 1
    with sample_site() as (url, pages, cookie):
        if unknown := set(options.page or ()) - set(pages):
            parser.error(f"unknown page {', '.join(sorted(unknown))}; known: {', '.join(pages)}")
        chosen = {name: pages[name] for name in options.page or pages}
        take_pictures(chromium, url, chosen, cookie, options)
    return 0


@contextmanager
def sample_site() -> Iterator[tuple[str, dict[str, str], dict[str, str]]]:
    """Yields the URL of the site, its pages by name, and the session cookie of a user."""
    with tempfile.TemporaryDirectory(prefix="synclog-pictures-") as folder:
        prepare(Path(folder))
        # These imports load Django's settings, which `prepare` has set.
        from django.conf import settings
        from django.contrib.staticfiles.handlers import StaticFilesHandler
        from django.core.handlers.wsgi import WSGIHandler
        from django.test import Client

        from tests.sample_data import make_sample

        sample = make_sample()
        pages = {name: path.format(**sample) for name, path in PAGES.items()}
        client = Client()
        client.force_login(sample["user"])
        server = make_server("127.0.0.1", 0, StaticFilesHandler(WSGIHandler()), handler_class=Silent)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        session = client.cookies[settings.SESSION_COOKIE_NAME].value
        try:
            yield url, pages, {"name": settings.SESSION_COOKIE_NAME, "value": session, "url": url}
        finally:
            server.shutdown()


class Silent(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - so named by the base class
        """Logs nothing."""


def prepare(folder: Path) -> None:
    """Configures Django and creates a migrated database in this folder."""
    for name in [name for name in os.environ if name.startswith(("SYNCLOG_", "DATABASE_URL", "AWS_"))]:
        del os.environ[name]
    os.environ |= {
        "SYNCLOG_DATA_DIR": str(folder),
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "DJANGO_DEBUG": "1",
        "DJANGO_ALLOW_ASYNC_UNSAFE": "true",
    }
    (folder / "static").mkdir()
    import django
    from django.conf import settings

    settings.STORAGES["staticfiles"] = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
    settings.LOGGING = {"version": 1}
    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)


def take_pictures(
    chromium: str, url: str, pages: dict[str, str], cookie: dict[str, str], options: Any
) -> None:
    from playwright.sync_api import sync_playwright

    options.folder.mkdir(exist_ok=True)
    began = time.monotonic()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        for width in options.width:
            for scheme in ("light", "dark"):
                context = browser.new_context(
                    viewport={"width": width, "height": HEIGHT}, color_scheme=scheme, base_url=url
                )
                page = context.new_page()
                page.goto("/admin/login/")
                page.screenshot(path=options.folder / f"login-{width}-{scheme}.png")
                context.add_cookies([cookie])
                for name, address in pages.items():
                    page.goto(address)
                    page.screenshot(path=options.folder / f"{name}-{width}-{scheme}.png")
                context.close()
        browser.close()
    count = len(list(options.folder.glob("*.png")))
    print(f"{count} pictures in {options.folder}/, {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
