"""Routes of the admin, the API and the health checks."""

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

from apps.api.views.health import livez, readyz

admin.autodiscover()

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index")),
    path("admin/", include("apps.console.account.urls")),
    path("admin/", admin.site.urls),
    path("api/", include("apps.api.urls")),
    path("livez", livez),
    path("readyz", readyz),
]

handler400 = "apps.api.http.error_handlers.bad_request"
handler429 = "apps.console.account.rate_limit.too_many_requests"
handler500 = "apps.api.http.error_handlers.server_error"
