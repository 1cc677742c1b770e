"""Welcome text of the demo."""

from __future__ import annotations

from pathlib import Path

from django.conf import settings
from django.core.management.color import Style

from apps.demo.access import Access
from apps.runs.models import Payload


def welcome(style: Style, url: str, access: Access, payload: Payload | None, log_dir: Path) -> str:
    """Addresses, credentials, and a command to copy."""
    rows = [
        ("Console", f"{url}/admin/"),
        ("User", access.user.username),
        ("Password", access.password),
        ("API token", access.token),
    ]
    if payload:
        rows.append(("Payload", _address(url, payload)))
    rows.append(("Logs", f"{log_dir}/*.log"))
    lines = [
        "",
        style.MIGRATE_HEADING("Synclog is running. Ctrl-C stops it."),
        "",
        *(f"  {name:<10} {style.SUCCESS(value) if name == 'Console' else value}" for name, value in rows),
        "",
    ]
    if payload:
        run = payload.run_id
        lines += [
            f"Fetch page 1 that run {run} pulled; it expires after 24 hours:",
            "",
            _curl(url, payload, access),
        ]
    elif not settings.DEMO:
        lines += ["The console shows the first steps: connection, service, run and log."]
    else:
        lines += ["There is no payload to fetch; see the log of the worker."]
    return "\n".join([*lines, ""])


def _address(url: str, payload: Payload) -> str:
    return f"{url}/api/v1/payloads/{payload.pk}/download/"


def _curl(url: str, payload: Payload, access: Access) -> str:
    header = f"Authorization: Bearer {access.token}"
    return f"curl --fail --show-error --silent -H '{header}' {_address(url, payload)}"
