"""Preview of a service with unsaved settings: source, script and destination."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import PermissionDenied, ValidationError
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from apps.console.settings.edit_conflict_admin import is_deleted
from apps.console.settings.record_preview import record_preview
from apps.console.settings.script_editor import ScriptField
from apps.console.settings.trial_audit import TrialAudit
from apps.console.ui.ansi import message_html
from apps.console.ui.disconnection import is_disconnected
from apps.runs.execution.replay import check_replay, stored_pages
from apps.runs.models import Level, Run, Step
from apps.runs.payloads.audit import record_direct_read
from apps.runs.trial.service_trial import Trial, try_service
from apps.services.connectors.base import ConnectorError
from apps.services.models import Service
from apps.services.sandbox.error_messages import error_place

_STEPS = {"source": Step.PULL, "script": Step.SCRIPT, "destination": Step.PUSH}


def trial_view(admin: Any, request: HttpRequest) -> HttpResponse:
    """The result of the step `?step=` with the submitted form, as a page or as a part of one (`?fragment`)."""
    step = request.GET.get("step", "")
    if step not in _STEPS:
        raise Http404
    service = _service_of(admin, request)
    data = request.POST.copy()
    script = ScriptField().to_python(data.get("script", ""))
    # The trial itself reports what is wrong with the script.
    data["script"] = ""
    form = admin.get_form(request, service, change=service is not None)(data, instance=service)
    errors = _errors(form, step)
    result: dict[str, Any] = {}
    try:
        replay_of = _replayed(request, service)
    except ValidationError as error:
        errors.append((_("Input"), " ".join(error.messages)))
    if not errors:
        audit = _audit(request, form.instance, step)
        trial = try_service(
            form.instance,
            script,
            _STEPS[step],
            replay_of=replay_of,
            is_cancelled=lambda: is_disconnected(request),
        )
        result = _result(trial)
        audit.complete(_outcome_text(trial))
    context = {
        **admin.admin_site.each_context(request),
        "title": _("Preview"),
        "step": step,
        "errors": errors,
        **result,
    }
    name = "console/settings/trial.html" if "fragment" in request.GET else "console/settings/trial_page.html"
    return TemplateResponse(request, name, context)


def replayable_runs(user: Any, service: Service, limit: int = 5) -> list[Run]:
    """The latest runs whose stored pages the user may read."""
    if not user.has_perm("runs.download_payload"):
        return []
    runs = Run.objects.filter(service=service, payloads__kind="pull", payloads__status="stored")
    return list(runs.exclude(finished_at=None).distinct().order_by("-pk")[:limit])


def _service_of(admin: Any, request: HttpRequest) -> Service | None:
    """The service that is changed, None if one is added or if it was deleted meanwhile."""
    number = request.GET.get("service", "")
    if number and (not number.isdecimal() or len(number) > 18):
        raise Http404
    service: Service | None = None
    if number:
        service = Service.objects.visible_to(request.user).filter(pk=int(number)).first()
        if service is None and not is_deleted(Service, number):
            raise Http404
    if not (admin.has_change_permission(request, service) if service else admin.has_add_permission(request)):
        raise PermissionDenied
    return service


def _errors(form: Any, step: str) -> list[tuple[str, str]]:
    """Label and message of the errors that concern the trial."""
    sides = ("source_", "destination_") if step == "destination" else ("source_",)
    names = [name for name in form.errors if name.startswith(sides) or (name == "since")]
    return [(_label(form, name), " ".join(form.errors[name])) for name in names]


def _label(form: Any, name: str) -> str:
    side = _("Destination") if name.startswith("destination_") else _("Source")
    return f"{side}, {form[name].label}"


def _replayed(request: HttpRequest, service: Service | None) -> Run | None:
    """The run whose first stored page is the input, None for the source. Raises ValidationError.

    The read is recorded.
    """
    number = request.POST.get("trial_input", "")
    if service is None or not number or request.GET.get("step") == "source":
        return None
    if not request.user.has_perm("runs.download_payload"):
        raise PermissionDenied
    run: Run | None = (
        service.runs.filter(pk=int(number)).first() if number.isdecimal() and len(number) < 19 else None
    )
    if run is None:
        raise ValidationError(_("The run was not found; choose another input."))
    check_replay(service, run)
    page: Any = stored_pages(run).first()
    record_direct_read(page, user=request.user, address=request.META.get("REMOTE_ADDR"))
    return run


def _audit(request: HttpRequest, service: Service, step: str) -> TrialAudit:
    what = {
        "source": _("Previewed source with unsaved settings"),
        "script": _("Tried script with unsaved settings"),
        "destination": _("Previewed push with unsaved settings"),
    }
    return TrialAudit(request, service, service.name or service.slug or "–", what[step])


def _outcome_text(trial: Trial) -> str:
    if trial.is_cancelled:
        return _("cancelled")
    return _("failed") if trial.error else _("succeeded")


def _result(trial: Trial) -> dict[str, Any]:
    pulled = output = None
    try:
        if trial.page:
            pulled = record_preview(trial.page.records, trial.keys)
        if trial.output is not None:
            output = record_preview(trial.output, trial.output_keys)
    except RecursionError:
        trial.error = trial.error or _("A record is nested too deeply to be shown.")
    except ConnectorError as error:
        trial.error = trial.error or str(error)
    return {
        "trial": trial,
        "error": SafeString(message_html(trial.error)),
        "pulled": pulled,
        "output": output,
        "without_key_count": trial.keys.count(""),
        "script_error": error_place(trial.error) if trial.step == Step.SCRIPT else None,
        "lines": [
            (Level(line.level).name.lower(), Step(line.step).label, SafeString(message_html(line.message)))
            for line in trial.lines
        ],
    }
