"""Query of the records page: filters in the URL, each with a message if its value is invalid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any
from urllib.parse import urlencode

from django.db.models import F
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from apps.console.ui.filters import PERIODS, Period, choice_errors
from apps.runs.models import Record, Run
from apps.runs.models.record import RecordQuerySet
from apps.runs.records.keys import key_pattern, key_text
from apps.services.models import Service

_DAYS = (
    Period("5d", gettext_lazy("5 days"), gettext_lazy("in the last 5 days"), timedelta(days=5)),
    Period("15d", gettext_lazy("15 days"), gettext_lazy("in the last 15 days"), timedelta(days=15)),
)
_ANY = PERIODS[-1]
RECORD_PERIODS = (*PERIODS[:2], *_DAYS, _ANY)
DEFAULT_PERIOD = RECORD_PERIODS[2]
_PERIODS_BY_KEY = {period.key: period for period in RECORD_PERIODS}
# Value of the parameter `order`; otherwise newest first.
OLDEST_FIRST = "oldest"
OUTCOMES = {outcome.slug: outcome for outcome in Record.Outcome}
# Of more runs in a period, the newest records are found soon without their numbers.
MAX_RUNS = 5000


@dataclass(frozen=True)
class Position:
    """Place of a record in the order of `latest_first` or `oldest_first`."""

    run_id: int
    sequence: int
    page: int
    key: str

    @classmethod
    def of(cls, record: Record) -> Position:
        return cls(record.run_id, record.sequence, record.page, record.key)

    @classmethod
    def from_text(cls, text: str) -> Position | None:
        *numbers, key = (*text.split(".", 3), "", "", "")[:4]
        if not all(number.isdecimal() and len(number) <= 18 for number in numbers):
            return None
        run_id, sequence, page = map(int, numbers)
        return cls(run_id, sequence, page, key_text(key))

    def __str__(self) -> str:
        return f"{self.run_id}.{self.sequence}.{self.page}.{self.key}"


@dataclass(frozen=True)
class RecordQuery:
    """Filters of records; the errors say which values were invalid, and then no record matches."""

    # As typed; with a trailing `*` a prefix.
    key: str
    service: str
    run_number: str
    outcome: str
    # As in the URL; empty = the default.
    period_key: str
    before: Position | None
    # What the user may see of it.
    services: tuple[Service, ...]
    run: Run | None
    # The period that was chosen last.
    usual_period: Period = DEFAULT_PERIOD
    is_oldest_first: bool = False
    errors: list[str] = field(default_factory=list)

    @classmethod
    def from_query(cls, query: Mapping[str, str], user: Any, last_period: str = "") -> RecordQuery:
        """Reads the query string; one query for the services, and one for the run if there is one."""
        services = Service.objects.visible_to(user).order_by("name").only("name", "slug", "kind")
        number = query.get("run", "").strip().lstrip("#")
        before = query.get("before", "")
        result = cls(
            key=query.get("key", "").replace("\x00", "␀"),
            service=query.get("service", "").strip(),
            run_number=number,
            outcome=query.get("outcome", "").strip(),
            period_key=query.get("period", "").strip(),
            before=Position.from_text(before),
            services=tuple(services),
            run=_run(number, user),
            is_oldest_first=query.get("order") == OLDEST_FIRST,
            usual_period=_PERIODS_BY_KEY.get(last_period, DEFAULT_PERIOD),
        )
        result.errors.extend(result._errors())
        if before and result.before is None:
            result.errors.append(_("The address of the page is incomplete. Open the list again."))
        return result

    def _errors(self) -> list[str]:
        errors = []
        if self.service and self.service_id is None:
            errors.append(_("Service “%(slug)s” not found.") % {"slug": self.service})
        if self.run_number and not self.run_number.isdecimal():
            errors.append(
                _("“%(text)s” is not a run number. Enter digits only, such as 13826.")
                % {"text": self.run_number}
            )
        elif self.run_number and self.run is None:
            errors.append(_("Run %(number)s not found.") % {"number": self.run_number})
        return errors + choice_errors(
            (_("outcome"), self.outcome, OUTCOMES), (_("period"), self.period_key, _PERIODS_BY_KEY)
        )

    @property
    def is_exact(self) -> bool:
        """Whether the query is for the history of one key."""
        return bool(self.key.strip()) and not self.key.endswith("*")

    @property
    def service_id(self) -> int | None:
        return next((service.pk for service in self.services if service.slug == self.service), None)

    @cached_property
    def period(self) -> Period:
        """By default the one that was chosen last, at first 5 days; all of the time for one run and one key."""
        return self._named_period or self.default_period

    @property
    def default_period(self) -> Period:
        return self.usual_period if self.is_list else _ANY

    @property
    def is_list(self) -> bool:
        """Whether the query is not limited to one key or one run."""
        return not self.is_exact and not self.run_number

    @property
    def _named_period(self) -> Period | None:
        return _PERIODS_BY_KEY.get(self.period_key)

    @property
    def is_filtered(self) -> bool:
        return bool(self.key.strip() or self.service or self.run_number or self.outcome)

    def records(self, user: Any, now: datetime) -> RecordQuerySet:
        """The matching records, newest or oldest first."""
        if self.errors:
            return Record.objects.none()
        records = Record.objects.visible_to(user)
        if self.is_exact:
            # Keys may begin or end with spaces, and so may a text that was copied.
            records = records.filter(key__in={key_text(self.key), key_text(self.key.strip())})
        elif self.key.strip():
            records = records.with_key(key_pattern(self.key))
        if (service_id := self.service_id) is not None:
            records = _of_service(records, service_id, is_oldest_first=self.is_oldest_first)
        if self.run is not None:
            records = records.filter(run_id=self.run.pk)
        if self.outcome:
            records = records.filter(outcome=OUTCOMES[self.outcome])
        if (cutoff := self.period.cutoff(now)) is not None:
            records = _since(records, cutoff)
        return records.oldest_first() if self.is_oldest_first else records.latest_first()

    def link(self, **change: str) -> str:
        """Query string with these parameters changed; defaults are left out."""
        query = self.parameters() | change
        return "?" + urlencode({name: value for name, value in query.items() if value})

    def parameters(self) -> dict[str, str]:
        """The parameters without the position."""
        return {
            "key": self.key,
            "service": self.service,
            "run": self.run_number,
            "outcome": self.outcome,
            "period": self.period_key,
            "order": OLDEST_FIRST if self.is_oldest_first else "",
        }


def _run(number: str, user: Any) -> Run | None:
    if not number.isdecimal() or len(number) > 18:
        return None
    return Run.objects.visible_to(user).select_related("service").filter(pk=int(number)).first()


def _of_service(records: RecordQuerySet, service_id: int, *, is_oldest_first: bool) -> RecordQuerySet:
    """Records of a service. The numbers of its first and its latest run are where the database begins to read."""
    runs = Run.objects.filter(service_id=service_id, has_records=True).values_list("pk", flat=True)
    latest = runs.order_by("-pk").first()
    if latest is None:
        return records.none()
    records = records.filter(run__service_id=service_id, run_id__lte=latest)
    return records.filter(run_id__gte=runs.order_by("pk")[:1]) if is_oldest_first else records


def _since(records: RecordQuerySet, cutoff: datetime) -> RecordQuerySet:
    """Records since `cutoff`. Only runs that ended since then have any: without their numbers, a quiet period would
    make the database read all older records.
    """
    records = records.recorded_since(cutoff)
    runs = Run.objects.filter(has_records=True)
    ended = runs.filter(finished_at__gte=cutoff).order_by(F("finished_at").desc())
    numbers = list(ended.values_list("pk", flat=True)[: MAX_RUNS + 1])
    if len(numbers) > MAX_RUNS:
        return records
    numbers += runs.open().values_list("pk", flat=True)
    return records.filter(run_id__gte=min(numbers)) if numbers else records.none()
