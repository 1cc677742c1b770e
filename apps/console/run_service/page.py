"""Run service: the form that starts a run manually, with payload switches and options for this run only."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.admin import AdminSite
from django.core.exceptions import ValidationError
from django.db.models import Min
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from pydantic.fields import FieldInfo

from apps.console.ui.badges import flow_html
from apps.console.ui.formatting import moment_text
from apps.runs.execution.incremental import since_options
from apps.runs.execution.replay import check_replay
from apps.runs.models import Payload, Run
from apps.runs.tasks import start_run
from apps.services.definition.option_errors import is_whole_number
from apps.services.definition.options import RunOptions, read_source
from apps.services.models import Service

_SWITCHES = {
    "store_pull": Payload.Kind.PULL,
    "store_push": Payload.Kind.PUSH,
    "store_script": Payload.Kind.SCRIPT,
}


class Switch(forms.CheckboxInput):
    """Checkbox that is drawn and announced as a switch."""

    def __init__(self) -> None:
        super().__init__({"class": "switch", "role": "switch"})


class RunForm(forms.Form):
    """Options of one run; every switch is off by default."""

    store_pull = forms.BooleanField(
        label=_("Store pull payloads"),
        help_text=_("Each page as the source sent it."),
        required=False,
        widget=Switch,
    )
    store_push = forms.BooleanField(
        label=_("Store push payloads"),
        help_text=_("Each request to the destination, and its response."),
        required=False,
        widget=Switch,
    )
    store_script = forms.BooleanField(
        label=_("Store custom script payloads"),
        help_text=_("The input and the output of the script."),
        required=False,
        widget=Switch,
    )
    dry_run = forms.BooleanField(
        label=_("Dry run"),
        help_text=_("Pull and run the script, push nothing."),
        required=False,
        widget=Switch,
    )

    replay = forms.BooleanField(required=False, widget=Switch)

    def __init__(
        self,
        data: Any = None,
        *,
        service_options: dict[str, Any],
        replayable: Run | None = None,
        initial: Any = None,
    ) -> None:
        """`replayable` is the run whose stored pull payloads can be the source, None = none."""
        super().__init__(data, initial=initial, label_suffix="")
        self.service_options = service_options
        if "since" not in service_options:
            del self.fields["since"]
        if replayable is None:
            del self.fields["replay"]
        else:
            text = _("Use the stored pull payloads of %(run)s") % {"run": str(replayable).lower()}
            self.fields["replay"].label = text
            self.fields["replay"].help_text = _replay_help(replayable)

    def stored_kinds(self) -> list[str]:
        return [kind for switch, kind in _SWITCHES.items() if self.cleaned_data[switch]]

    def changed_options(self) -> dict[str, str]:
        """Options that differ from those of the service; an empty field means the option of the service."""
        return {
            name: self.cleaned_data[name]
            for name in self.option_names
            if self.cleaned_data[name] and self.cleaned_data[name] != str(self.service_options.get(name, ""))
        }

    def add_start_errors(self, error: ValidationError) -> None:
        """Adds the errors of the start to their fields."""
        if not hasattr(error, "error_dict"):
            self.add_error(None, error)
            return
        for name, errors in error.error_dict.items():
            self.add_error(name if name in self.fields else None, errors)

    @property
    def payload_fields(self) -> list[forms.BoundField]:
        return [self[name] for name in _SWITCHES]

    @property
    def option_fields(self) -> list[forms.BoundField]:
        return [self[name] for name in self.option_names]

    @property
    def option_names(self) -> list[str]:
        return [name for name in RunOptions.model_fields if name in self.fields]


def _option_field(option: FieldInfo) -> forms.CharField:
    return forms.CharField(
        label=_(option.title or ""),
        help_text=_(option.description or ""),
        required=False,
        widget=forms.TextInput({"inputmode": "numeric"} if is_whole_number(option) else {}),
    )


RunForm.base_fields |= {name: _option_field(option) for name, option in RunOptions.model_fields.items()}


def run_page(request: HttpRequest, site: AdminSite, service: Service) -> HttpResponse:
    """Shows the form; a valid form starts the run and redirects to its live log."""
    retried = _run_of(service, request.GET.get("retry_of", ""))
    prefilled_from = retried or _run_of(service, request.GET.get("like", ""))
    defaults = service_options(service)
    replayable = retried if retried and _is_replayable(service, retried) else None
    if request.method == "POST":
        form = RunForm(request.POST, service_options=defaults, replayable=replayable)
        if form.is_valid() and (run := _start(form, service, request.user, retried)):
            return HttpResponseRedirect(reverse("admin:runs_run_log", args=[run.pk]))
    else:
        form = RunForm(
            initial=_initial(defaults, prefilled_from),
            service_options=defaults,
            replayable=replayable,
        )
    context = {
        **site.each_context(request),
        "title": _("Run service"),
        "service": service,
        "flow": flow_html(service),
        "form": form,
        "retried": retried,
        "prefilled_from": prefilled_from,
        "last_manual": _last_manual_run(service) if prefilled_from is None else None,
        "active_run": service.runs.open().order_by("-id").first(),
    }
    return TemplateResponse(request, "console/run_page.html", context)


def service_options(service: Service) -> dict[str, Any]:
    """Options of the service that a run may change."""
    options: dict[str, Any] = {"max_attempts": service.max_attempts}
    if service.source_connection is None:
        return options
    try:
        source = read_source(service.source_connection.kind, service.source_options)
    except ValidationError:
        # Invalid settings are reported by their own form and in the log of the run.
        return options
    if since := since_options(service):
        options["since"] = service.since or since.first
    return {"page_size": source.page_size, **options}


def _initial(defaults: dict[str, Any], prefilled_from: Run | None) -> dict[str, Any]:
    if prefilled_from is None:
        return defaults
    switches = {switch: getattr(prefilled_from, switch) for switch in _SWITCHES}
    return {**defaults, **prefilled_from.options, **switches, "dry_run": prefilled_from.is_dry_run}


def _run_of(service: Service, number: str) -> Run | None:
    if not number.isdecimal() or len(number) > 18:
        return None
    run: Run | None = service.runs.filter(pk=int(number)).first()
    return run


def _is_replayable(service: Service, run: Run) -> bool:
    """Whether every pulled page of the run is stored and readable."""
    try:
        check_replay(service, run)
    except ValidationError:
        return False
    return True


def _replay_help(run: Run) -> str:
    """Help text with the expiry of the first file."""
    pulled = run.payloads.filter(kind=Payload.Kind.PULL, status=Payload.Status.STORED)
    until = pulled.aggregate(until=Min("expires_at"))["until"]
    text = _("Read these files instead of the source. They expire at %(until)s.")
    return text % {"until": moment_text(until, timezone.now(), seconds=False) if until else "–"}


def _last_manual_run(service: Service) -> dict[str, Any] | None:
    """The latest run that a person started here, and its options as text, as a suggestion."""
    # Automatic retries have a due time.
    runs = service.runs.filter(trigger__in=(Run.Trigger.MANUAL, Run.Trigger.RETRY), due_at=None)
    run = runs.select_related("started_by").order_by("-id").first()
    if run is None:
        return None
    dry_run = [str(RunForm.base_fields["dry_run"].label)] if run.is_dry_run else []
    return {"run": run, "options": dry_run + run_option_texts(run)}


def run_option_texts(run: Run) -> list[str]:
    """Stored payloads and options of a run, as the form labels them."""
    fields = RunForm.base_fields
    switches = [str(fields[switch].label) for switch in _SWITCHES if getattr(run, switch)]
    return switches + [
        f"{fields[name].label}: {run.options[name]}"
        for name in RunOptions.model_fields
        if name in run.options
    ]


def _start(form: RunForm, service: Service, user: Any, retried: Run | None) -> Run | None:
    try:
        return start_run(
            service,
            trigger=Run.Trigger.RETRY if retried else Run.Trigger.MANUAL,
            user=user,
            store=form.stored_kinds(),
            is_dry_run=form.cleaned_data["dry_run"],
            options=form.changed_options(),
            retry_of=retried,
            replay_of=retried if form.cleaned_data.get("replay") else None,
        )
    except ValidationError as error:
        form.add_start_errors(error)
        return None
