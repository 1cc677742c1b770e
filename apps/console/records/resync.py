"""Resync: a page that confirms which records are sent again, and starts the run."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.admin import AdminSite
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from apps.console.records.query import OUTCOMES
from apps.console.run_service.page import Switch
from apps.console.ui.links import records_url
from apps.runs.execution.resync import MAX_KEYS, refusal_of_stored
from apps.runs.models import Record, Run
from apps.runs.models.record import RecordQuerySet
from apps.runs.tasks import start_resync

# Keys that the page lists for a run.
_MAX_LISTED = 20


@dataclass(frozen=True)
class Part:
    """Records of one run: those with these keys, or all with this outcome."""

    run: Run
    keys: tuple[str, ...] = ()
    outcome: Record.Outcome | None = None

    @property
    def records_url(self) -> str:
        return records_url(run=self.run.pk, **({"outcome": self.outcome.slug} if self.outcome else {}))

    @property
    def count(self) -> int:
        """The number of records, at most one above the limit."""
        if self.outcome is None:
            return len(self.keys)
        return self._with(self.outcome)[: MAX_KEYS + 1].count()

    @property
    def listed(self) -> list[str]:
        if self.outcome is None:
            return list(self.keys[:_MAX_LISTED])
        records = self._with(self.outcome).order_by("key")
        return list(records.values_list("key", flat=True)[:_MAX_LISTED])

    def _with(self, outcome: Record.Outcome) -> RecordQuerySet:
        return Record.objects.filter(run=self.run, outcome=outcome)


@dataclass(frozen=True)
class Selection:
    """What is sent again, one part for each run."""

    parts: list[Part]
    # Keys that were selected in several runs of a service: the latest counts.
    repeated: list[str]

    @classmethod
    def from_request(cls, data: QueryDict, user: Any) -> Selection:
        """Reads `record` ("RUN:KEY", repeated), or `run` with `key` or `outcome`. Raises Http404."""
        if "run" in data:
            [run] = _runs([data["run"]], user)
            outcome = OUTCOMES.get(data.get("outcome", ""))
            if outcome is not None:
                return cls([Part(run, outcome=outcome)], [])
            return cls([Part(run, tuple(data.getlist("key")))], [])
        chosen: dict[str, list[str]] = defaultdict(list)
        for value in data.getlist("record"):
            number, colon, key = value.partition(":")
            if colon and key:
                chosen[number].append(key)
        return cls._latest({run: chosen[str(run.pk)] for run in _runs(chosen, user)})

    @classmethod
    def _latest(cls, keys_of: Mapping[Run, list[str]]) -> Selection:
        """Each key once for each service, so that nothing is sent twice."""
        seen: dict[tuple[int, str], Run] = {}
        parts: list[Part] = []
        repeated: dict[str, None] = {}
        for run in sorted(keys_of, key=lambda run: -run.pk):
            keys = []
            for key in dict.fromkeys(keys_of[run]):
                if (run.service_id, key) in seen:
                    repeated[key] = None
                    continue
                seen[run.service_id, key] = run
                keys.append(key)
            if keys:
                parts.append(Part(run, tuple(keys)))
        return cls(parts, list(repeated))

    @property
    def fields(self) -> list[tuple[str, str]]:
        """Names and values of the hidden fields."""
        fields: list[tuple[str, str]] = []
        for part in self.parts:
            if part.outcome is not None:
                fields += [("run", str(part.run.pk)), ("outcome", part.outcome.slug)]
            fields += [("record", f"{part.run.pk}:{key}") for key in part.keys]
        return fields


class ResyncForm(forms.Form):
    """Where the records come from, and whether they are pushed."""

    origin = forms.ChoiceField(label=gettext_lazy("Records come from"), widget=forms.RadioSelect)
    dry_run = forms.BooleanField(
        label=gettext_lazy("Dry run"),
        help_text=gettext_lazy("Pull and run the script, push nothing."),
        required=False,
        widget=Switch,
    )

    def __init__(self, data: Any, *, selection: Selection) -> None:
        super().__init__(data, label_suffix="")
        # Why the records of a run cannot come from its stored payloads.
        self.refusals = [
            reason for part in selection.parts if (reason := refusal_of_stored(part.run)) is not None
        ]
        self.is_partly_stored = 0 < len(self.refusals) < len(selection.parts)
        stored = (
            _("Stored pull payloads where they can be read; the others are pulled again")
            if self.is_partly_stored
            else _("Stored pull payloads: the same bytes as before")
        )
        choices = [("source", _("The source: pulled again, as they are now"))]
        if len(self.refusals) < len(selection.parts):
            choices.insert(0, ("stored", stored))
        self.fields["origin"].choices = choices  # type: ignore[attr-defined]
        self.fields["origin"].initial = choices[0][0]

    @property
    def chosen_origin(self) -> str | None:
        """The origin for `start_resync`; None takes the stored payloads of each run where they can be read."""
        origin: str = self.cleaned_data["origin"]
        return None if origin == "stored" and self.is_partly_stored else origin

    def add_start_errors(self, error: ValidationError) -> None:
        """Adds the errors of the start to their fields."""
        for name, errors in error.error_dict.items():
            self.add_error("origin" if name == "from" else None, errors)


def resync_page(request: HttpRequest, site: AdminSite) -> HttpResponse:
    """Shows the selection; confirmed, it starts a run for each run of the selection and redirects to the live log."""
    user = request.user
    if not (user.has_perm("services.view_service") and user.has_perm("runs.start_run")):
        raise PermissionDenied
    data = request.POST if request.method == "POST" else request.GET
    selection = Selection.from_request(data, user)
    is_confirmed = request.method == "POST" and "confirm" in data
    form = ResyncForm(data if is_confirmed else None, selection=selection)
    if is_confirmed and selection.parts and form.is_valid() and (runs := _start(request, form, selection)):
        return _redirect(request, runs)
    context = {
        **site.each_context(request),
        "title": _("Resync"),
        "selection": selection,
        "form": form,
        "max_keys": MAX_KEYS,
        "max_listed": _MAX_LISTED,
    }
    return TemplateResponse(request, "console/records/resync.html", context)


def _runs(numbers: Any, user: Any) -> list[Run]:
    wanted = {int(number) for number in numbers if number.isdecimal() and len(number) <= 18}
    runs = list(Run.objects.visible_to(user).select_related("service").filter(pk__in=wanted))
    if len(runs) != len(set(numbers)):
        raise Http404(_("Run not found."))
    return runs


def _start(request: HttpRequest, form: ResyncForm, selection: Selection) -> list[Run]:
    """The runs; all or none of them start."""
    # In one order, as each call locks a service.
    parts = sorted(selection.parts, key=lambda part: part.run.service_id)
    try:
        with transaction.atomic():
            return [
                start_resync(
                    part.run,
                    user=request.user,
                    keys=part.keys,
                    outcome=part.outcome,
                    origin=form.chosen_origin,
                    is_dry_run=form.cleaned_data["dry_run"],
                    idempotency_key=_idempotency_key(request, part.run),
                )
                for part in parts
            ]
    except ValidationError as error:
        form.add_start_errors(error)
        return []


def _idempotency_key(request: HttpRequest, run: Run) -> str:
    """The same if a form is submitted twice: every page that is shown has its own CSRF token."""
    return hashlib.sha256(f"{run.pk}?{request.POST.urlencode()}".encode()).hexdigest()


def _redirect(request: HttpRequest, runs: list[Run]) -> HttpResponse:
    if len(runs) == 1:
        return HttpResponseRedirect(reverse("admin:runs_run_log", args=[runs[0].pk]))
    text = ngettext(
        "%(count)s run was started: %(runs)s.", "%(count)s runs were started: %(runs)s.", len(runs)
    )
    messages.success(request, text % {"count": len(runs), "runs": ", ".join(str(run.pk) for run in runs)})
    return HttpResponseRedirect(reverse("admin:runs_run_changelist"))
