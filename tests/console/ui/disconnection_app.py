"""A WSGI application that waits until its client has gone, and says so in the file named by `GONE`."""

import os
import time
from pathlib import Path

from django.core.handlers.wsgi import WSGIRequest

from apps.console.ui.disconnection import is_disconnected


def application(environ, start_response):
    request = WSGIRequest(environ)
    started = time.monotonic()
    while not is_disconnected(request) and time.monotonic() - started < 20:
        time.sleep(0.02)
        Path(os.environ["GONE"]).with_suffix(".waits").touch()
    Path(os.environ["GONE"]).write_text(f"{time.monotonic() - started:.1f}")
    start_response("200 OK", [])
    return [b""]
