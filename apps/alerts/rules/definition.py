"""Rules as in a YAML file: of one service (`alerts:`), and of several or all (`rules:`); and their rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import time
from typing import Annotated, Any, Literal

from django.core.exceptions import ValidationError
from django.db.models import Count, Q, QuerySet
from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _
from pydantic import AfterValidator, BeforeValidator, Field

from apps.alerts.models import Channel, Rule
from apps.services.definition.option_errors import read_options
from apps.services.definition.option_types import Flag, Options, Text, WholeNumber
from apps.services.definition.rows import Outcome, assign, column, validate
from apps.services.definition.sections import Section, ServicePart
from apps.services.models import Service

_KEY_OF_FIELD = {"events": "on"}
_MAX_RULES = 50
# Instead of slugs.
_ALL = "all"


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


type _Event = Literal[
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
]
type _Names = Annotated[
    tuple[Text, ...], BeforeValidator(_as_list, json_schema_input_type=tuple[Text, ...] | Text)
]
type _Clock = Annotated[Text, BeforeValidator(_clock_text), AfterValidator(_check_clock)]


class _RuleOptions(Options):
    on: Annotated[
        tuple[_Event, ...], BeforeValidator(_as_list, json_schema_input_type=tuple[_Event, ...] | _Event)
    ] = Field(
        (),
        title=_("Events"),
        description=_(
            "Of: failed, recovered, late, lost, refused, problem, incomplete, paused, expiry_lag, doctor."
        ),
    )
    to: _Names = Field(title=_("Channels"), description=_("Names of channels."))
    no_success_for_hours: WholeNumber | None = column(Rule, "no_success_for_hours")
    refused_limit: WholeNumber = column(Rule, "refused_limit")
    quiet_from: _Clock | None = column(Rule, "quiet_from")
    quiet_until: _Clock | None = column(Rule, "quiet_until")
    timezone: Text = column(Rule, "timezone")
    daily_reminder: Flag = column(Rule, "daily_reminder")
    include_record_keys: Flag = column(Rule, "include_record_keys")
    is_active: Flag = column(Rule, "is_active")


class RuleDescription(_RuleOptions):
    """A rule that sends events of the service to channels."""

    name: Text = Field("", title=_("Name"), description=_("Default: the name of the service."))


class SharedRuleDescription(_RuleOptions):
    """A rule that sends events of several services, or of all, to channels."""

    services: _Names = Field(
        title=_("Services"),
        description=_("Slugs of at least two services, or all: also those created later."),
    )


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
    return _save_rule(rule, description, description.name or service.name, [service], channels)


def load_shared_rule(name: str, data: Mapping[str, Any]) -> Outcome:
    """Creates or updates the rule `name` for several services or all. Raises ValidationError by key of `data`."""
    description = read_options(SharedRuleDescription, data)
    services = [] if description.services == (_ALL,) else _services(description.services)
    channels = {channel.name: channel for channel in Channel.objects.all()}
    rule = _shared_rules().filter(name=name).first() or Rule()
    is_new = rule.pk is None
    if not _save_rule(rule, description, name, services, channels):
        return "unchanged"
    return "created" if is_new else "updated"


def _services(slugs: tuple[str, ...]) -> list[Service]:
    found = Service.objects.in_bulk(dict.fromkeys(slugs), field_name="slug")
    for slug in slugs:
        if slug not in found:
            raise ValidationError(
                {"services": [gettext("Unknown service “%(name)s”.") % {"name": slug[:100]}]}
            )
    if len(found) < 2:
        message = gettext("Name at least two services or “all”; a rule of one service is in its “alerts”.")
        raise ValidationError({"services": [message]})
    return list(found.values())


def _save_rule(
    rule: Rule, description: _RuleOptions, name: str, services: list[Service], channels: dict[str, Channel]
) -> bool:
    """Saves the rule for the services, without any for all; returns whether anything changed."""
    chosen = [_channel(name, channels) for name in dict.fromkeys(description.to)]
    if not chosen:
        raise ValidationError(
            {"to": [gettext("The rule has no channel, so nobody would be alerted; choose one.")]}
        )
    fields = description.model_dump(exclude={"on", "to", "name", "services", "quiet_from", "quiet_until"})
    fields["name"] = name
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
    before = (set(rule.services.all()), set(rule.channels.all()), rule.is_for_all)
    after = (set(services), set(chosen), not services)
    if before != after:
        rule.set_services(services)
        rule.channels.set(chosen)
    return is_new or bool(changed) or before != after


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
        name = {"name": rule.name} if rule.name != service.name else {}
        exported.setdefault(service.pk, []).append(_exported(rule) | name)
    return exported


def export_shared_rules() -> dict[str, Any]:
    """The rules of several services or of all as in a file, by name."""
    exported: dict[str, Any] = {}
    for rule in _shared_rules().prefetch_related("services", "channels").order_by("pk"):
        slugs = _ALL if rule.is_for_all else sorted(service.slug for service in rule.services.all())
        # Only the first of a name can be loaded.
        exported.setdefault(rule.name, {"services": slugs, **_exported(rule)})
    return exported


def _exported(rule: Rule) -> dict[str, Any]:
    data: dict[str, Any] = {"on": rule.events} if rule.events else {}
    values = {
        "no_success_for_hours": rule.no_success_for_hours,
        "to": sorted(channel.name for channel in rule.channels.all()),
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
    with_one = _counted().filter(service_count=1)
    of_these = Rule.services.through.objects.filter(service__in=services).values("rule")
    return with_one.filter(pk__in=of_these).prefetch_related("services", "channels").order_by("pk")


def _shared_rules() -> QuerySet[Any]:
    return _counted().filter(Q(is_for_all=True) | Q(service_count__gt=1))


def _counted() -> QuerySet[Any]:
    return Rule.objects.annotate(service_count=Count("services"))


ALERTS_PART = ServicePart(
    "alerts",
    load_rules,
    export_rules,
    lambda: list[RuleDescription],
    {"Alert rule of one service (alerts)": RuleDescription},
)
RULES_SECTION = Section(
    "rules",
    "rule",
    load_shared_rule,
    lambda name: _shared_rules().filter(name=name).order_by("pk").first(),
    export_shared_rules,
    lambda: SharedRuleDescription,
    {"Alert rule of several services (rules)": SharedRuleDescription},
    names_services=True,
)
