"""Filters of lists. An unknown parameter or value is an error."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import django_filters
from django import forms
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django_filters.fields import ChoiceField, IsoDateTimeField
from django_filters.rest_framework import DjangoFilterBackend, FilterSet
from drf_spectacular.utils import extend_schema_field
from rest_framework.request import Request
from rest_framework.settings import api_settings

from apps.api.queries.pagination import CURSOR, LIMIT
from apps.api.serializers.fields import MAX_INTEGER, parse_choices, unknown_key_message
from apps.audit.models import Action, AuditEvent
from apps.audit.trail import KINDS, Filters
from apps.runs.models import Payload, Record, Run
from apps.runs.models.record import RecordQuerySet
from apps.runs.records.keys import key_pattern
from apps.services.definition.option_errors import choice_message
from apps.services.models import Service

# Difference between the clocks of workers and database that filters by time allow for.
_CLOCK_DIFFERENCE = timedelta(hours=1)
# Names of the outcomes of a record, and their labels.
OUTCOMES = [(outcome.slug, outcome.label) for outcome in Record.Outcome]


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

    def __init__(self, choices: Any, **options: Any) -> None:
        super().__init__(
            choices=choices,
            # A column has one value, so that no row is found twice.
            distinct=False,
            help_text=_("Several values: repeat the parameter or separate them by commas."),
            **options,
        )


class _ChoiceField(ChoiceField):  # type: ignore[misc]
    def validate(self, value: Any) -> None:
        choices: Any = self.choices
        names = [name for name, _label in choices if name]
        if value and value not in names:
            raise ValidationError(choice_message(value, names))


class SingleChoiceFilter(django_filters.ChoiceFilter):  # type: ignore[misc]
    """One of the choices; the error message lists them."""

    field_class = _ChoiceField


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
    status = MultipleChoiceFilter(Run.Status.choices)
    trigger = MultipleChoiceFilter(Run.Trigger.choices)
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
        return _of_service(runs, slug)


class PayloadFilter(FilterSet):  # type: ignore[misc]
    """Filter of payloads by run."""

    run = RunNumberFilter(
        field_name="run_id", min_value=0, max_value=MAX_INTEGER, help_text=_("Number of a run.")
    )

    class Meta:
        model = Payload
        fields: list[str] = []


class _KeyField(forms.CharField):
    """A key as it was typed: with spaces, and characters that databases cannot store."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options, strip=False)
        self.validators = []

    def to_python(self, value: Any) -> str:
        return key_pattern(value) if value else ""


class KeyFilter(django_filters.CharFilter):  # type: ignore[misc]
    """The key of a record, or its beginning and `*`."""

    field_class = _KeyField


class RecordFilter(FilterSet):  # type: ignore[misc]
    """Filters of records by key, service, run, outcome and time."""

    key = KeyFilter(
        method="filter_key", help_text=_("The key, or its beginning and `*`: `10045` finds one, `100*` many.")
    )
    service = django_filters.CharFilter(method="filter_nothing", help_text=_("Slug of a service."))
    run = RunNumberFilter(
        field_name="run_id", min_value=0, max_value=MAX_INTEGER, help_text=_("Number of a run.")
    )
    outcome = MultipleChoiceFilter(OUTCOMES, method="filter_outcome")
    recorded_after = TimestampFilter(
        field_name="recorded_at", lookup_expr="gte", help_text=_("Recorded at this time or later (ISO 8601).")
    )
    recorded_before = TimestampFilter(
        field_name="recorded_at", lookup_expr="lt", help_text=_("Recorded before this time (ISO 8601).")
    )

    class Meta:
        model = Record
        fields: list[str] = []

    def filter_key(self, records: RecordQuerySet, name: str, key: str) -> RecordQuerySet:
        return records.with_key(key)

    def filter_outcome(self, records: RecordQuerySet, name: str, slugs: list[str]) -> RecordQuerySet:
        return records.filter(outcome__in=[Record.Outcome[slug.upper()] for slug in slugs])

    def filter_nothing(self, records: RecordQuerySet, name: str, slug: str) -> RecordQuerySet:
        """Records have no service: see `filter_runs`."""
        return records

    @classmethod
    def filter_runs(cls, runs: QuerySet[Run], query: Mapping[str, Any]) -> QuerySet[Run]:
        """The runs whose records may match the valid query."""
        form = cls(query).form
        form.is_valid()
        data = form.cleaned_data
        if data["service"]:
            runs = _of_service(runs, data["service"])
        if data["recorded_after"]:
            since = data["recorded_after"] - _CLOCK_DIFFERENCE
            runs = runs.filter(Q(finished_at=None) | Q(finished_at__gte=since))
        if data["recorded_before"]:
            runs = runs.filter(started_at__lt=data["recorded_before"] + _CLOCK_DIFFERENCE)
        return runs


class AuditFilter(FilterSet):  # type: ignore[misc]
    """Filters of the audit log by user, action, object and time."""

    user = django_filters.CharFilter(method="filter_nothing", help_text=_("User name."))
    action = SingleChoiceFilter(choices=Action.choices, method="filter_nothing")
    kind = SingleChoiceFilter(
        choices=[(kind.name, kind.label) for kind in KINDS.values()],
        method="filter_nothing",
        help_text=_("Kind of object."),
    )
    object = django_filters.CharFilter(
        method="filter_nothing", help_text=_("Number or name of an object of this kind.")
    )
    occurred_after = TimestampFilter(
        method="filter_nothing", help_text=_("At this time or later (ISO 8601).")
    )
    occurred_before = TimestampFilter(method="filter_nothing", help_text=_("Before this time (ISO 8601)."))

    class Meta:
        model = AuditEvent
        fields: list[str] = []

    def filter_nothing(self, rows: Any, name: str, value: Any) -> Any:
        """Entries come from several tables: see `filters_of`."""
        return rows

    @classmethod
    def filters_of(cls, query: Mapping[str, Any]) -> Filters:
        """The filters of a valid query. Raises ValidationError for an object without its kind."""
        form = cls(query).form
        form.is_valid()
        data = form.cleaned_data
        kind = KINDS.get(data["kind"])
        if data["object"] and kind is None:
            raise ValidationError({"object": [gettext("Name the kind of the object as well.")]})
        user_id = None
        if data["user"]:
            # No user has the number 0.
            user_id = User.objects.filter(username=data["user"]).values_list("pk", flat=True).first() or 0
        return Filters(
            user_id=user_id,
            action=Action(data["action"]) if data["action"] else None,
            kind=kind,
            object_ids=kind.find(data["object"]) if kind and data["object"] else None,
            since=data["occurred_after"],
            until=data["occurred_before"],
        )


def _of_service(runs: QuerySet[Run], slug: str) -> QuerySet[Run]:
    """By primary key, for which the planner uses an index; with a join it does not."""
    return runs.filter(service__in=list(Service.objects.filter(slug=slug).values_list("pk", flat=True)))
