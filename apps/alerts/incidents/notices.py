"""Notices: notify each channel of an incident once, or hold the notice back for a summary."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Count, Max

from apps.alerts.delivery.outbox import queue_message
from apps.alerts.incidents.messages import incident_message, summary_message
from apps.alerts.models import Channel, Incident, MaintenanceWindow, Notice, Rule
from apps.runs.models import Run

# Notices to one channel within a minute; further ones are summed up. Runs that end at the same moment do not wait
# for each other to be counted, so a few more are possible.
MAX_NOTICES = 20
LIMIT_PERIOD = timedelta(minutes=1)
# Notices that one summary contains.
_MAX_SUMMED_UP = 5000


def notify(
    incident: Incident,
    kind: Notice.Kind,
    rules: Sequence[Rule],
    now: datetime,
    *,
    run: Run | None = None,
    is_new: bool = False,
) -> None:
    """Sends a message to each channel of the rules that want this notice, or holds it back for a summary.

    No channel was notified of an incident that `is_new`.
    """
    earlier = [] if is_new else [*incident.notices.values_list("channel_id", "sent_at")]
    chosen = _chosen(incident, kind, rules, {channel_id for channel_id, _sent_at in earlier})
    if not chosen:
        return
    waiting = {channel_id for channel_id, sent_at in earlier if sent_at is None} | _channels_at_limit(
        chosen, now
    )
    maintenance_end = _maintenance_end(incident, now)
    notices = []
    for channel, its_rules in chosen.items():
        rule, held_until = _first_to_send(its_rules, maintenance_end, now)
        if held_until is None and channel.pk in waiting:
            held_until = now
        if held_until is None:
            queue_message([channel], incident_message(incident, kind, rule, run), now=now)
        notices.append(
            Notice(
                incident=incident,
                channel=channel,
                kind=kind,
                created_at=now,
                held_until=held_until,
                sent_at=None if held_until else now,
            )
        )
    Notice.objects.bulk_create(notices)


def _chosen(
    incident: Incident, kind: Notice.Kind, rules: Sequence[Rule], notified: Collection[int]
) -> dict[Channel, list[Rule]]:
    """Active channels that get this notice, with the rules that want it."""
    chosen: dict[Channel, list[Rule]] = defaultdict(list)
    for rule in rules:
        if _wants(rule, incident, kind):
            for channel in rule.channels.all():
                if channel.is_active:
                    chosen[channel].append(rule)
    match kind:
        case Notice.Kind.OPENED:
            return {channel: its for channel, its in chosen.items() if channel.pk not in notified}
        case Notice.Kind.CLOSED:
            # Not those that were never notified of its opening.
            return {
                channel: its
                for channel, its in chosen.items()
                if channel.pk in notified or not _is_for_opened(its, incident)
            }
    return chosen


def send_summaries(now: datetime) -> int:
    """Sends one message per channel about all notices that were held back until now; returns their number."""
    due = Notice.objects.filter(sent_at=None, held_until__lte=now)
    channels = Channel.objects.filter(pk__in=due.values("channel")).order_by("pk")
    return sum(_send_summary(channel, now) for channel in channels)


def _send_summary(channel: Channel, now: datetime) -> int:
    with transaction.atomic():
        due = Notice.objects.filter(channel=channel, sent_at=None, held_until__lte=now)
        notices = list(
            due.select_for_update(of=("self",), skip_locked=True)
            .select_related("incident__service")
            .order_by("pk")[:_MAX_SUMMED_UP]
        )
        if not notices:
            return 0
        latest = {notice.incident: notice for notice in notices}
        if len(latest) == 1:
            ((incident, notice),) = latest.items()
            its_rules = Rule.objects.of_service(incident.service_id).filter(channels=channel)
            # One without record keys, if there is one.
            rule = its_rules.order_by("include_record_keys", "pk").first()
            message = incident_message(incident, Notice.Kind(notice.kind), rule)
        else:
            message = summary_message(list(latest.values()))
        queue_message([channel], message)
        Notice.objects.filter(pk__in=[notice.pk for notice in notices]).update(sent_at=now)
    return len(notices)


def _wants(rule: Rule, incident: Incident, kind: Notice.Kind) -> bool:
    match kind:
        case Notice.Kind.CLOSED:
            return Rule.Event.RECOVERED in rule.events
        case Notice.Kind.REMINDER:
            return rule.daily_reminder and _is_for_opened([rule], incident)
    return _is_for_opened([rule], incident)


def _is_for_opened(rules: Sequence[Rule], incident: Incident) -> bool:
    """Whether one of the rules sends a message when the incident is opened."""
    if incident.kind == Incident.Kind.NO_SUCCESS:
        return any(rule.no_success_for_hours for rule in rules)
    return any(incident.kind in rule.events for rule in rules)


def _first_to_send(
    rules: Sequence[Rule], maintenance_end: datetime | None, now: datetime
) -> tuple[Rule, datetime | None]:
    """The rule that may send first, with quiet hours and maintenance, and when: None = at once."""
    after = maintenance_end or now
    ends = [(rule.quiet_end(after) or maintenance_end, rule) for rule in rules]
    end, rule = min(ends, key=lambda pair: pair[0] or now)
    return rule, end


def _maintenance_end(incident: Incident, now: datetime) -> datetime | None:
    """End of the maintenance of the incident's service, None if there is none now."""
    if incident.service_id is None:
        return None
    windows = MaintenanceWindow.objects.filter(
        service=incident.service_id, starts_at__lte=now, ends_at__gt=now
    )
    end: datetime | None = windows.aggregate(end=Max("ends_at"))["end"]
    return end


def _channels_at_limit(channels: Iterable[Channel], now: datetime) -> set[int]:
    """Channels that have reached the limit of messages per minute; further ones are summed up."""
    recent = Notice.objects.filter(channel__in=channels, sent_at__gt=now - LIMIT_PERIOD, held_until=None)
    counted = recent.values("channel").annotate(count=Count("pk")).filter(count__gte=MAX_NOTICES)
    return set(counted.values_list("channel", flat=True))
