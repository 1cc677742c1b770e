"""All routes of Synclog, and the minimal views."""

import os
from pathlib import Path

from django.contrib.auth.decorators import login_required
from django.http import FileResponse, HttpRequest, HttpResponse
from django.urls import path

from config import urls

handler400 = urls.handler400
handler500 = urls.handler500


@login_required
def empty(request: HttpRequest) -> HttpResponse:
    """Empty response that requires a login."""
    return HttpResponse()


def file(request: HttpRequest) -> FileResponse:
    """A file without authentication."""
    return FileResponse(Path(os.environ["BENCHMARK_FILE"]).open("rb"))


urlpatterns = [
    path("bare/empty/", empty),
    path("bare/file/", file),
    *urls.urlpatterns,
]
