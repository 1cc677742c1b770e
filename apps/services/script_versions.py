"""Restoring an earlier version of a script."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from apps.audit.changes import field_values
from apps.audit.recording import record_change
from apps.services.models import Script, Service
from apps.services.sandbox.process import check_script


class VersionConflict(Exception):
    """The script has a newer version than the user saw."""


def restore_script(service: Service, earlier: Script, user: Any, *, latest: int) -> Script | None:
    """Creates a version with the text of an earlier one; recorded in the history of the service.

    Returns the new version, None if the current script is the same. `latest` is the number of the latest version that
    the user saw. Raises VersionConflict if it is not the latest, and ScriptError if the earlier script is invalid.
    """
    if earlier.source:
        check_script(earlier.source)
    with transaction.atomic():
        service.lock()
        if service.latest_version() != latest:
            raise VersionConflict
        before = field_values(service)
        restored = service.set_script(earlier.source, author=user)
        if service.latest_version() == latest:
            return None
        note = _("Restored version %(version)s of the script.") % {"version": earlier.version}
        record_change(user, service, before, note)
    return restored
