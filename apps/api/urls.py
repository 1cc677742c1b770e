"""Routes of the API. Those under v1/ are a contract: they can be added, not changed."""

from django.urls import URLPattern, URLResolver, path, re_path, register_converter
from drf_spectacular.views import SpectacularAPIView

import apps.api.schema  # noqa: F401 - registers the extensions of drf-spectacular
from apps.api.http.error_handlers import not_found
from apps.api.http.file_names import RestOfPathConverter
from apps.api.views.audit import AuditViewSet
from apps.api.views.deliveries import DeliveryViewSet
from apps.api.views.docs import docs
from apps.api.views.download import DownloadView
from apps.api.views.incidents import IncidentViewSet
from apps.api.views.log import LogNdjsonView, LogTextView
from apps.api.views.metrics import MetricsView
from apps.api.views.payloads import PayloadViewSet
from apps.api.views.problems import ProblemViewSet
from apps.api.views.records import RecordViewSet
from apps.api.views.reports import FinishView, ReportedPayloadView, RunLogView, RunRecordsView
from apps.api.views.resync import ResyncView
from apps.api.views.runs import RunViewSet
from apps.api.views.services import ServiceViewSet

register_converter(RestOfPathConverter, "rest")

app_name = "api"
urlpatterns: list[URLPattern | URLResolver] = [
    path("schema/", SpectacularAPIView.as_view(), name="schema"),
    path("docs/", docs, name="docs"),
    path("v1/services/", ServiceViewSet.as_view({"get": "list"}), name="service-list"),
    path("v1/services/<slug:slug>/", ServiceViewSet.as_view({"get": "retrieve"}), name="service-detail"),
    path("v1/services/<slug:slug>/runs/", ServiceViewSet.as_view({"post": "start"}), name="service-runs"),
    path("v1/runs/", RunViewSet.as_view({"get": "list"}), name="run-list"),
    path("v1/runs/<int:pk>/", RunViewSet.as_view({"get": "retrieve"}), name="run-detail"),
    path("v1/runs/<int:pk>/cancel/", RunViewSet.as_view({"post": "cancel"}), name="run-cancel"),
    path("v1/runs/<int:pk>/resync/", ResyncView.as_view(), name="run-resync"),
    path("v1/runs/<int:pk>/log/", RunLogView.as_view(), name="run-log"),
    path("v1/runs/<int:pk>/log.txt", LogTextView.as_view(), name="run-log-txt"),
    path("v1/runs/<int:pk>/log.ndjson", LogNdjsonView.as_view(), name="run-log-ndjson"),
    path(
        "v1/runs/<int:pk>/payloads/<str:kind>/<rest:name>",
        ReportedPayloadView.as_view(),
        name="run-payload",
    ),
    path("v1/runs/<int:pk>/records/", RunRecordsView.as_view(), name="run-records"),
    path("v1/runs/<int:pk>/finish/", FinishView.as_view(), name="run-finish"),
    path("v1/records/", RecordViewSet.as_view({"get": "list"}), name="record-list"),
    path("v1/alerts/deliveries/", DeliveryViewSet.as_view({"get": "list"}), name="delivery-list"),
    path("v1/alerts/incidents/", IncidentViewSet.as_view({"get": "list"}), name="incident-list"),
    path(
        "v1/alerts/incidents/<int:pk>/", IncidentViewSet.as_view({"get": "retrieve"}), name="incident-detail"
    ),
    path("v1/audit/", AuditViewSet.as_view({"get": "list"}), name="audit-list"),
    path("v1/problems/", ProblemViewSet.as_view({"get": "list"}), name="problem-list"),
    path(
        "v1/problems/<int:pk>/",
        ProblemViewSet.as_view({"get": "retrieve", "patch": "change"}),
        name="problem-detail",
    ),
    path("v1/payloads/", PayloadViewSet.as_view({"get": "list"}), name="payload-list"),
    path("v1/payloads/<uuid:pk>/", PayloadViewSet.as_view({"get": "retrieve"}), name="payload-detail"),
    path("v1/payloads/<uuid:pk>/download/", DownloadView.as_view(), name="payload-download"),
    path("v1/metrics/", MetricsView.as_view(), name="metrics"),
    # Last: every other path below /api/.
    re_path("", not_found),
]
