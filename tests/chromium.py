"""The browser of this machine."""

import shutil

# The headless shell does the same as the whole browser and uses less processor time.
_PROGRAMS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
HOW_TO_INSTALL = "on Debian: apt install chromium-headless-shell"


def chromium_path() -> str | None:
    """Path of the first browser found."""
    return next(filter(None, map(shutil.which, _PROGRAMS)), None)
