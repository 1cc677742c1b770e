"""Rules of one service as in a YAML file (`alerts:`), and their rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import time
from typing import Annotated, Any, Literal

from django.core.exceptions import ValidationError
from django.db.models import Count, QuerySet
from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _
from pydantic import AfterValidator, BeforeValidator, Field

from apps.alerts.models import Channel, Rule
from apps.services.definition.option_errors import read_options
from apps.services.definition.option_types import Flag, Options, Text, WholeNumber
from apps.services.definition.rows import assign, column, validate
from apps.services.definition.sections import ServicePart
from apps.services.models import Service

_KEY_OF_FIELD = {"events": "on"}
_MAX_RULES = 50


def _as_list(value: Any) -> Any:
    """One event or channel needs no list."""
    return [value] if isinstance(value, str) else value


def _clock_text(value: Any) -> Any:
    """YAML reads 22:00 as a number of minutes."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 24 * 60:
        return f"{value // 60:02}:{value % 60:02}"
    return value


def _check_clock(value: str) -> str:
    try:
        return time.fromisoformat(value.zfill(5)).strftime("%H:%M")
    except ValueError:
        raise ValueError(
            gettext("“%(time)s” is not a time; write one such as 22:00.") % {"time": value[:20]}
        ) from None


type _Names = Annotated[tuple[Text, ...], BeforeValidator(_as_list)]
type _Clock = Annotated[Text, BeforeValidator(_clock_text), AfterValidator(_check_clock)]


class RuleDescription(Options):
    """A rule that sends events of the service to channels."""

    on: Annotated[
        tuple[
            Literal[
                "failed",
                "recovered",
                "late",
                "lost",
                "refused",
                "problem",
                "incomplete",
                "paused",
                "expiry_lag",
                "doctor",
            ],
            ...,
        ],
        BeforeValidator(_as_list),
    ] = Field((), title=_("Events"))
    to: _Names = Field(title=_("Channels"), description=_("Names of channels."))
    name: Text = Field("", title=_("Name"), description=_("Default: the name of the service."))
    no_success_for_hours: WholeNumber | None = column(Rule, "no_success_for_hours")
    refused_limit: WholeNumber = column(Rule, "refused_limit")
    quiet_from: _Clock | None = column(Rule, "quiet_from")
    quiet_until: _Clock | None = column(Rule, "quiet_until")
    timezone: Text = column(Rule, "timezone")
    daily_reminder: Flag = column(Rule, "daily_reminder")
    include_record_keys: Flag = column(Rule, "include_record_keys")
    is_active: Flag = column(Rule, "is_active")


def load_rules(service: Service, data: Any) -> bool:
    """Makes `data` the rules of this service alone; returns whether anything changed.

    Raises ValidationError by number and key, as in `0.to`. Rules for several services stay as they are.
    """
    if not isinstance(data, Sequence) or isinstance(data, str):
        raise ValidationError(
            {"": [gettext("Not a list; write one rule an item, as in - {on: [failed], to: [ops]}.")]}
        )
    if len(data) > _MAX_RULES:
        raise ValidationError({"": [gettext("Too many rules; write at most %(max)d.") % {"max": _MAX_RULES}]})
    existing = list(_rules_of([service]))
    channels = {channel.name: channel for channel in Channel.objects.all()}
    errors: dict[str, list[str]] = {}
    has_changed = len(data) != len(existing)
    for number, entry in enumerate(data):
        rule = existing[number] if number < len(existing) else Rule()
        try:
            has_changed |= _load_rule(rule, service, entry, channels)
        except ValidationError as error:
            errors |= {f"{number}.{key}": reasons for key, reasons in error.message_dict.items()}
    if errors:
        raise ValidationError(errors)
    for rule in existing[len(data) :]:
        rule.delete()
    return has_changed


def _load_rule(rule: Rule, service: Service, data: Any, channels: dict[str, Channel]) -> bool:
    description = read_options(RuleDescription, data)
    chosen = [_channel(name, channels) for name in dict.fromkeys(description.to)]
    if not chosen:
        raise ValidationError(
            {"to": [gettext("The rule has no channel, so nobody would be alerted; choose one.")]}
        )
    fields = description.model_dump(exclude={"on", "to", "name", "quiet_from", "quiet_until"})
    fields["name"] = description.name or service.name
    # In the order of their definition, so that a file in another order changes nothing.
    fields["events"] = [event for event in Rule.Event.values if event in description.on]
    for key in ("quiet_from", "quiet_until"):
        text = getattr(description, key)
        fields[key] = time.fromisoformat(text) if text else None
    is_new = rule.pk is None
    changed = assign(rule, fields)
    validate(rule, _KEY_OF_FIELD)
    if is_new or changed:
        rule.save()
    if is_new:
        rule.services.set([service])
    before = set() if is_new else set(rule.channels.all())
    rule.channels.set(chosen)
    return is_new or bool(changed) or before != set(chosen)


def _channel(name: str, channels: dict[str, Channel]) -> Channel:
    if name not in channels:
        message = gettext("Unknown channel “%(name)s”. Allowed: %(names)s.")
        names = ", ".join(sorted(channels)) or gettext("none")
        raise ValidationError({"to": [message % {"name": name[:100], "names": names}]})
    return channels[name]


def export_rules(services: Iterable[Service]) -> dict[int, list[dict[str, Any]]]:
    """The rules of each service alone as in a file, by the number of the service."""
    exported: dict[int, list[dict[str, Any]]] = {}
    for rule in _rules_of(services):
        (service,) = rule.services.all()
        exported.setdefault(service.pk, []).append(_exported(rule, service))
    return exported


def _exported(rule: Rule, service: Service) -> dict[str, Any]:
    data: dict[str, Any] = {"on": rule.events} if rule.events else {}
    values = {
        "no_success_for_hours": rule.no_success_for_hours,
        "to": sorted(channel.name for channel in rule.channels.all()),
        "name": rule.name if rule.name != service.name else "",
        "refused_limit": rule.refused_limit,
        "quiet_from": f"{rule.quiet_from:%H:%M}" if rule.quiet_from else "",
        "quiet_until": f"{rule.quiet_until:%H:%M}" if rule.quiet_until else "",
        "timezone": rule.timezone if rule.timezone != "UTC" else "",
        "daily_reminder": rule.daily_reminder,
        "include_record_keys": rule.include_record_keys,
    }
    data |= {key: value for key, value in values.items() if value}
    return data if rule.is_active else {**data, "is_active": False}


def _rules_of(services: Iterable[Service]) -> QuerySet[Rule]:
    """Rules that apply to one of the services and to no other, in the order of their creation."""
    with_one = Rule.objects.annotate(service_count=Count("services")).filter(service_count=1)
    of_these = Rule.services.through.objects.filter(service__in=services).values("rule")
    return with_one.filter(pk__in=of_these).prefetch_related("services", "channels").order_by("pk")


ALERTS_PART = ServicePart("alerts", load_rules, export_rules, lambda: list[RuleDescription])
