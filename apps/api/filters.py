"""What lists can be narrowed down by; a parameter or value that is no use is an error, not ignored."""

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

from apps.api.fields import LARGEST, known_words, unknown_key
from apps.api.pagination import CURSOR, LIMIT
from apps.runs.models import Payload, Run
from apps.services.models import Service


def refuse_unknown_parameters(request: Request, known: Iterable[str]) -> None:
    """Raises ValidationError where the query has others: what a client mistyped would be answered with too much."""
    names = list(known)
    # There is one format of everything; who asks for one by habit gets it.
    unknown = request.query_params.keys() - {*names, api_settings.URL_FORMAT_OVERRIDE}
    if unknown:
        raise ValidationError({name: unknown_key(names) for name in sorted(unknown)})


class ListFilterBackend(DjangoFilterBackend):  # type: ignore[misc]
    """The filters of a list, which knows no parameters but those and the ones of its pages."""

    def filter_queryset(self, request: Request, queryset: QuerySet[Any], view: Any) -> QuerySet[Any]:
        if getattr(view, "action", "") == "list":
            filters = self.get_filterset_class(view, queryset)
            refuse_unknown_parameters(request, (*(filters.base_filters if filters else ()), CURSOR, LIMIT))
        filtered: QuerySet[Any] = super().filter_queryset(request, queryset, view)
        return filtered


class _SeveralField(forms.MultipleChoiceField):
    def to_python(self, value: Any) -> list[str]:
        choices: Any = self.choices
        return known_words(value or (), [word for word, _label in choices])

    def validate(self, value: Any) -> None:
        """Nothing is left to check: `to_python` let known words through only."""


class SeveralFilter(django_filters.MultipleChoiceFilter):  # type: ignore[misc]
    """Any of a few words, given repeatedly or with commas."""

    field_class = _SeveralField


class _MomentField(IsoDateTimeField):  # type: ignore[misc]
    def clean(self, value: Any) -> datetime | None:
        wanted = gettext("Write a time in ISO 8601, such as 2026-11-23T07:15:09Z.")
        try:
            moment: datetime | None = super().clean(value)
            return moment and moment.astimezone(UTC)
        except (ValidationError, OverflowError, ValueError):
            raise ValidationError(wanted) from None


@extend_schema_field(
    {"anyOf": [{"type": "string", "format": "date-time"}, {"type": "string", "maxLength": 0}]}
)
class MomentFilter(django_filters.IsoDateTimeFilter):  # type: ignore[misc]
    """A moment; without an offset it is UTC."""

    field_class = _MomentField


class _NumberField(forms.IntegerField):
    def clean(self, value: Any) -> int | None:
        try:
            number: int | None = super().clean(value)
        except ValidationError:
            raise ValidationError(gettext("Write the number of a run, such as 4711.")) from None
        return number


@extend_schema_field({"type": "integer", "minimum": 0, "maximum": LARGEST})
class NumberFilter(django_filters.NumberFilter):  # type: ignore[misc]
    """A whole number that the database can count to."""

    field_class = _NumberField


class RunFilter(FilterSet):  # type: ignore[misc]
    """The runs of a service, with a status, of a time."""

    service = django_filters.CharFilter(method="of_service", help_text=_("The slug of a service."))
    status = SeveralFilter(
        choices=Run.Status.choices,
        distinct=False,
        help_text=_("Several may be given, repeatedly or by commas."),
    )
    trigger = SeveralFilter(
        choices=Run.Trigger.choices,
        distinct=False,
        help_text=_("Several may be given, repeatedly or by commas."),
    )
    started_after = MomentFilter(
        field_name="started_at", lookup_expr="gte", help_text=_("Started then or later (ISO 8601).")
    )
    started_before = MomentFilter(
        field_name="started_at", lookup_expr="lt", help_text=_("Started earlier than that (ISO 8601).")
    )

    def of_service(self, runs: QuerySet[Run], name: str, slug: str) -> QuerySet[Run]:
        """By its number, which the planner knows how to look up in an index; it does not through a join."""
        return runs.filter(service__in=list(Service.objects.filter(slug=slug).values_list("pk", flat=True)))

    class Meta:
        model = Run
        fields: list[str] = []


class PayloadFilter(FilterSet):  # type: ignore[misc]
    """The payloads of a run."""

    run = NumberFilter(
        field_name="run_id", min_value=0, max_value=LARGEST, help_text=_("The number of a run.")
    )

    class Meta:
        model = Payload
        fields: list[str] = []
