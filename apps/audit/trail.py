"""Reading the audit log: the entries of all sources, newest first, each page with a bounded query per source."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.db.models import (
    BigIntegerField,
    Case,
    CharField,
    Exists,
    Model,
    OuterRef,
    Q,
    QuerySet,
    Value,
    When,
)
from django.db.models.functions import Cast, NullIf
from django.utils.functional import Promise

from apps.audit.models import Action

# Objects that one name may stand for.
_MAX_OBJECTS = 50


@dataclass(frozen=True)
class Kind:
    """A kind of object, by which the log is filtered."""

    # As in URLs, such as "service".
    name: str
    label: str | Promise
    model: type[Model]
    # Columns by which people name an object, beside its number.
    names: tuple[str, ...]
    # The objects that a user may know of; None if the user may know of all.
    visible_to: Callable[[Any], QuerySet[Any] | None] = lambda user: None
    # What an entry of the admin's history about such an object means if it is a text.
    text_action: Action = Action.CHANGED

    def find(self, text: str) -> list[str]:
        """Numbers of the objects with this number or name."""
        if "\x00" in text:
            return []
        # Nothing, for runs and problems have no names. An empty condition would match all objects.
        matches = Q(pk__in=())
        for name in self.names:
            matches |= Q(**{name: text})
        found = self.model._base_manager.filter(matches).values_list("pk", flat=True)[:_MAX_OBJECTS]
        # An object that was deleted has only its number.
        return [*map(str, found), *([text] if text.isdecimal() and len(text) <= 18 else [])]


@dataclass(frozen=True)
class Entry:
    """One line of the audit log."""

    position: Position
    action: Action
    user_id: int | None
    # Empty: unknown, or the account was deleted.
    username: str
    kind: str
    object_id: str
    object_name: str
    command: str = ""
    token: str = ""
    address: str | None = None
    detail: str = ""
    changes: Sequence[dict[str, Any]] = ()
    count: int = 1

    @property
    def occurred_at(self) -> datetime:
        return self.position.occurred_at


@dataclass(frozen=True, order=True)
class Position:
    """Place of an entry in the order of the log."""

    occurred_at: datetime
    # Name of the source, which orders entries of the same time.
    source: str
    pk: int

    def __str__(self) -> str:
        return f"{self.occurred_at.isoformat()}|{self.source}|{self.pk}"

    @classmethod
    def from_text(cls, text: str) -> Position:
        """Raises ValueError."""
        moment, source, number = text.split("|")
        occurred_at = datetime.fromisoformat(moment)
        if occurred_at.tzinfo is None or source not in SOURCES or not number.isdecimal() or len(number) > 18:
            raise ValueError(text)
        return cls(occurred_at, source, int(number))


@dataclass(frozen=True)
class Filters:
    """What entries a reader asks for."""

    user_id: int | None = None
    action: Action | None = None
    kind: Kind | None = None
    # None: all objects of the kind.
    object_ids: Sequence[str] | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True)
class Source:
    """A table whose rows are entries."""

    name: str
    # Columns with the time and the user; an index on each of them ends with the time and the primary key.
    time: str
    user: str
    # The rows that match action, kind and object and that the reader may see; None if there are none.
    rows: Callable[[Filters, Any], QuerySet[Any] | None]
    entry: Callable[[Any], Entry]
    # Whether the database sets the time.
    has_database_time: bool = False

    def read(
        self, filters: Filters, reader: Any, start: Position | None, *, is_backward: bool, limit: int
    ) -> list[Entry]:
        """The first entries after `start`: newest first, with `is_backward` oldest first."""
        rows = self.rows(filters, reader)
        if rows is None:
            return []
        if filters.user_id is not None:
            rows = rows.filter(**{self.user: filters.user_id})
        if filters.since is not None:
            rows = rows.filter(**{f"{self.time}__gte": filters.since})
        if filters.until is not None:
            rows = rows.filter(**{f"{self.time}__lt": filters.until})
        if start is not None:
            rows = rows.filter(self._beyond(start, "gt" if is_backward else "lt"))
        order = "" if is_backward else "-"
        return [self.entry(row) for row in rows.order_by(f"{order}{self.time}", f"{order}pk")[:limit]]

    def _beyond(self, start: Position, comparison: str) -> Q:
        """The first condition is a range of the index; the second one only decides between equal times."""
        is_beyond = self.name > start.source if comparison == "gt" else self.name < start.source
        moment = self._stored(start.occurred_at)
        later, not_earlier = (
            Q(**{f"{self.time}__{comparison}": moment}),
            Q(**{f"{self.time}__{comparison}e": moment}),
        )
        if self.name == start.source:
            return not_earlier & (later | Q(**{f"pk__{comparison}": start.pk}))
        return not_earlier if is_beyond else later

    def _stored(self, moment: datetime) -> Any:
        """The time as the table contains it: SQLite compares texts, and its own clock writes milliseconds."""
        if connection.vendor != "sqlite" or not self.has_database_time or moment.microsecond % 1000:
            return moment
        return Value(f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}"[:-3], CharField())


@dataclass(frozen=True)
class Page:
    """Entries, newest first, and whether there are more in the direction of reading."""

    entries: list[Entry] = field(default_factory=list)
    has_more: bool = False


KINDS: dict[str, Kind] = {}
SOURCES: dict[str, Source] = {}


def register_kind(kind: Kind) -> None:
    """Called by an app when it is ready."""
    KINDS[kind.name] = kind


def register_source(source: Source) -> None:
    """Called by an app when it is ready."""
    SOURCES[source.name] = source


def read_page(
    filters: Filters, reader: Any, start: Position | None = None, *, is_backward: bool = False, limit: int
) -> Page:
    """One page of the entries that `reader` may see, beginning after `start`."""
    parts = [
        source.read(filters, reader, start, is_backward=is_backward, limit=limit + 1)
        for source in SOURCES.values()
    ]
    merged = heapq.merge(*parts, key=lambda entry: entry.position, reverse=not is_backward)
    entries = [entry for _number, entry in zip(range(limit + 1), merged, strict=False)]
    page = entries[:limit]
    if is_backward:
        page.reverse()
    return Page(page, len(entries) > limit)


def read_all(filters: Filters, reader: Any, *, at_once: int = 500) -> Iterator[Entry]:
    """All entries, newest first, in constant memory."""
    page = read_page(filters, reader, limit=at_once)
    yield from page.entries
    while page.has_more:
        page = read_page(filters, reader, page.entries[-1].position, limit=at_once)
        yield from page.entries


def matching(rows: QuerySet[Any], filters: Filters, reader: Any) -> QuerySet[Any]:
    """Rows with `content_type` and `object_id` that match kind and object, and that the reader may see.

    From readers who may not know of all objects of some kind, deleted objects of it are hidden as well, and so are
    objects of kinds that are not registered.
    """
    if filters.kind is not None:
        rows = rows.filter(content_type=ContentType.objects.get_for_model(filters.kind.model))
        if filters.object_ids is not None:
            rows = rows.filter(object_id__in=filters.object_ids)
    visible = {
        ContentType.objects.get_for_model(kind.model): kind.visible_to(reader) for kind in KINDS.values()
    }
    limited = {content_type: objects for content_type, objects in visible.items() if objects is not None}
    if not limited:
        return rows
    # Within CASE, because objects of other kinds may have numbers that are not integers.
    number = Cast(NullIf("object_id", Value("")), BigIntegerField())
    rows = rows.alias(number=Case(When(content_type__in=list(limited), then=number), default=None))
    may_see = Q(content_type=None) | Q(content_type__in=[each for each in visible if each not in limited])
    for content_type, objects in limited.items():
        is_visible = Exists(objects.order_by().filter(pk=OuterRef("number")))
        may_see |= Q(content_type=content_type) & Q(is_visible)
    return rows.filter(may_see)
