"""Filters of lists. An unknown parameter or value is an error."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import django_filters
from django import forms
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django_filters.fields import IsoDateTimeField
from django_filters.rest_framework import DjangoFilterBackend, FilterSet
from drf_spectacular.utils import extend_schema_field
from rest_framework.request import Request
from rest_framework.settings import api_settings

from apps.api.queries.pagination import CURSOR, LIMIT
from apps.api.serializers.fields import MAX_INTEGER, parse_choices, unknown_key_message
from apps.runs.models import Payload, Run
from apps.services.models import Service


def check_parameters(request: Request, known: Iterable[str]) -> None:
    """Raises ValidationError for unknown parameters: with a misspelt filter a list would return too much."""
    names = list(known)
    # Clients may name the format, although each resource has only one.
    unknown = request.query_params.keys() - {*names, api_settings.URL_FORMAT_OVERRIDE}
    if unknown:
        raise ValidationError({name: unknown_key_message(names) for name in sorted(unknown)})


class ListFilterBackend(DjangoFilterBackend):  # type: ignore[misc]
    """Filters lists, and refuses parameters other than those of the filters and the pagination."""

    def filter_queryset(self, request: Request, queryset: QuerySet[Any], view: Any) -> QuerySet[Any]:
        if getattr(view, "action", "") == "list":
            filters = self.get_filterset_class(view, queryset)
            check_parameters(request, (*(filters.base_filters if filters else ()), CURSOR, LIMIT))
        filtered: QuerySet[Any] = super().filter_queryset(request, queryset, view)
        return filtered


class _MultipleChoiceField(forms.MultipleChoiceField):
    def to_python(self, value: Any) -> list[str]:
        choices: Any = self.choices
        return parse_choices(value or (), [name for name, _label in choices])

    def validate(self, value: Any) -> None:
        """Nothing to check: `to_python` accepts known names only."""


class MultipleChoiceFilter(django_filters.MultipleChoiceFilter):  # type: ignore[misc]
    """Any of the choices, repeated or separated by commas."""

    field_class = _MultipleChoiceField


class _TimestampField(IsoDateTimeField):  # type: ignore[misc]
    def clean(self, value: Any) -> datetime | None:
        try:
            moment: datetime | None = super().clean(value)
            return moment and moment.astimezone(UTC)
        except (ValidationError, OverflowError, ValueError):
            message = gettext("Write a time in ISO 8601, such as 2026-11-23T07:15:09Z.")
            raise ValidationError(message) from None


@extend_schema_field(
    {"anyOf": [{"type": "string", "format": "date-time"}, {"type": "string", "maxLength": 0}]}
)
class TimestampFilter(django_filters.IsoDateTimeFilter):  # type: ignore[misc]
    """A time; UTC if it has no offset."""

    field_class = _TimestampField


class _RunNumberField(forms.IntegerField):
    def clean(self, value: Any) -> int | None:
        try:
            number: int | None = super().clean(value)
        except ValidationError:
            raise ValidationError(gettext("Write the number of a run, such as 4711.")) from None
        return number


@extend_schema_field({"type": "integer", "minimum": 0, "maximum": MAX_INTEGER})
class RunNumberFilter(django_filters.NumberFilter):  # type: ignore[misc]
    """The number of a run."""

    field_class = _RunNumberField


class RunFilter(FilterSet):  # type: ignore[misc]
    """Filters of runs by service, status, trigger and start."""

    service = django_filters.CharFilter(method="filter_service", help_text=_("Slug of a service."))
    status = MultipleChoiceFilter(
        choices=Run.Status.choices,
        distinct=False,
        help_text=_("Several values: repeat the parameter or separate them by commas."),
    )
    trigger = MultipleChoiceFilter(
        choices=Run.Trigger.choices,
        distinct=False,
        help_text=_("Several values: repeat the parameter or separate them by commas."),
    )
    started_after = TimestampFilter(
        field_name="started_at", lookup_expr="gte", help_text=_("Started at this time or later (ISO 8601).")
    )
    started_before = TimestampFilter(
        field_name="started_at", lookup_expr="lt", help_text=_("Started before this time (ISO 8601).")
    )

    class Meta:
        model = Run
        fields: list[str] = []

    def filter_service(self, runs: QuerySet[Run], name: str, slug: str) -> QuerySet[Run]:
        """By primary key, for which the planner uses an index; with a join it does not."""
        return runs.filter(service__in=list(Service.objects.filter(slug=slug).values_list("pk", flat=True)))


class PayloadFilter(FilterSet):  # type: ignore[misc]
    """Filter of payloads by run."""

    run = RunNumberFilter(
        field_name="run_id", min_value=0, max_value=MAX_INTEGER, help_text=_("Number of a run.")
    )

    class Meta:
        model = Payload
        fields: list[str] = []
