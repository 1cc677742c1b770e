"""Fieldsets of the settings page of a service: its steps, each with the options that are rarely needed."""

from typing import Any

from django.urls import reverse
from django.utils.functional import lazy
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _


def _help_html(topics: dict[str, Any]) -> SafeString:
    """Links to topics of the handbook."""
    links = [(reverse("admin:help_topic", args=[slug]), label) for slug, label in topics.items()]
    return format_html("{}: {}", _("Help"), format_html_join(" · ", '<a href="{}">{}</a>', links))


_help = lazy(_help_html, SafeString)

# For a service that runs elsewhere.
REPORTED_FIELDSETS = (
    (None, {"fields": ("name", "slug", "is_active")}),
    (_("Limits and access"), {"fields": (("log_retention_days", "record_retention_days"), "groups")}),
)
# A class `trial-…` names the step whose preview follows.
SERVICE_FIELDSETS: tuple[tuple[Any, dict[str, Any]], ...] = (
    (None, {"fields": (("name", "slug"),)}),
    (
        _("Source"),
        {
            "fields": (
                "source_connection",
                ("source_method", "source_path"),
                "source_body",
                ("source_format", "source_xml_record"),
                ("source_records", "source_id_field"),
                ("source_pagination_type", "source_page_size"),
                ("source_pagination_page_param", "source_pagination_first"),
                "source_pagination_offset_param",
                ("source_pagination_cursor", "source_pagination_param"),
                ("source_pagination_cursor_header", "source_pagination_next_url"),
                ("source_pagination_has_more", "source_pagination_total_pages"),
                "source_pagination_size_param",
            ),
            "classes": ("step",),
            "description": _help({"pagination": _("Pagination"), "files": _("Files")}),
        },
    ),
    (
        _("More options of the source"),
        {
            "fields": (
                ("source_compression", "source_xml_lists"),
                ("source_csv_delimiter", "source_csv_encoding"),
                ("source_csv_skip_rows", "source_csv_names"),
                ("source_sheet", "source_header_row"),
                ("source_only_new", "source_min_age_seconds"),
                ("source_after_move_to", "source_after_delete"),
                ("source_params", "source_headers"),
                ("source_record_path", "source_pagination_end_status"),
                ("source_since_from", "source_since_first"),
                ("source_since_overlap_seconds", "since"),
                ("source_fail_if", "source_retry_status"),
            ),
            "classes": ("collapse", "trial-source"),
        },
    ),
    (
        _("Script"),
        {
            "fields": ("script",),
            "classes": ("step", "trial-script"),
            "description": _help({"scripts": _("Script")}),
        },
    ),
    (
        _("Destination"),
        {
            "fields": (
                "destination_connection",
                ("destination_method", "destination_path"),
                "destination_format",
                ("destination_batch_size", "destination_id_field"),
            ),
            "classes": ("step",),
        },
    ),
    (
        _("More options of the destination"),
        {
            "fields": (
                "destination_compression",
                ("destination_csv_delimiter", "destination_csv_encoding"),
                "destination_csv_names",
                ("destination_wrap", "destination_accept_status"),
                ("destination_results_path", "destination_results_accepted_if"),
                "destination_results_reason",
                "destination_skip_unchanged",
                ("destination_params", "destination_headers"),
            ),
            "classes": ("collapse", "trial-destination"),
        },
    ),
    (
        _("Schedule"),
        {
            "fields": (("schedule", "timezone"), "is_active"),
            "classes": ("step",),
            "description": _help({"schedules": _("Schedule")}),
        },
    ),
    (
        _("Failures, limits and access"),
        {
            "fields": (
                ("retry_limit", "pause_after_failures"),
                ("overlap", "capture_on_failure"),
                ("max_attempts", "timeout_seconds"),
                ("log_retention_days", "record_retention_days"),
                "track_records",
                "groups",
            ),
            "classes": ("collapse",),
        },
    ),
)


def with_used_options_open(used: set[str]) -> list[tuple[Any, dict[str, Any]]]:
    """SERVICE_FIELDSETS, in which those with a field in `used` are not collapsed."""
    fieldsets = []
    for name, options in SERVICE_FIELDSETS:
        fields = {field for row in options["fields"] for field in ([row] if isinstance(row, str) else row)}
        if fields & used:
            classes = tuple(each for each in options["classes"] if each != "collapse")
            options = {**options, "classes": classes}
        fieldsets.append((name, options))
    return fieldsets
