"""What the reporter of a run that happens elsewhere tells of it: lines, files, and the end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import IO, Any, BinaryIO, cast

from django.conf import settings
from django.core.exceptions import ValidationError as DjangoValidationError
from django.utils.translation import gettext as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.generics import GenericAPIView, get_object_or_404
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.fields import WholeNumberField
from apps.api.file_names import check_name, media_type
from apps.api.models import ApiToken
from apps.api.parsers import NDJSON, AnyParser, LinesJSONParser, NdjsonParser
from apps.api.permissions import Needs
from apps.api.problems import (
    LengthRequired,
    LinesMissing,
    PayloadNameTaken,
    PayloadStoreUnavailable,
    PayloadTooLarge,
    RunHasEnded,
    RunIsNotReported,
    RunOfAnotherReporter,
)
from apps.api.reported_lines import (
    FinishSerializer,
    ReportedLineSerializer,
    ReportedLinesSerializer,
    ReportedSerializer,
    reported_lines,
)
from apps.api.schema import answers
from apps.api.serializers import PayloadSerializer, RunSerializer
from apps.api.views.base import ApiView
from apps.api.views.logs import LogView
from apps.api.visibility import visible_payloads, visible_runs
from apps.runs.models import Payload, Run
from apps.runs.payloads.storage import PayloadNotStored
from apps.runs.reported import reporting

SEQUENCE_HEADER = "X-Log-Sequence"
# Told with each batch once a person has asked to cancel the run.
CANCEL_HEADER = "Synclog-Cancel-Requested"
_REPORT = Needs(ApiToken.Scope.RUN_REPORT, ("runs.start_run",))


class _ReportView(ApiView, GenericAPIView[Run]):
    queryset = Run.objects.none()

    def get_run(self) -> Run:
        return _reported_run(self)


class RunLogView(LogView):
    """A run's log: read by whoever may, written by its reporter."""

    needs = LogView.needs | {"post": _REPORT}
    parser_classes = (NdjsonParser, LinesJSONParser)  # type: ignore[assignment]

    @extend_schema(
        operation_id="runs_log_report",
        summary="Report lines of a run that happens elsewhere",
        description=(
            "Up to 10,000 lines and 8 MiB in a call, numbered by the reporter. What is repeated, whole batches or "
            "parts of them, changes nothing; where a line is missing the answer is 409 with "
            "`expected_sequence`, and nothing of the batch is stored. Every call renews the lease: a reporter that "
            "is silent for five minutes loses the run, so send an empty batch where there is nothing to say."
        ),
        request={"application/json": ReportedLinesSerializer, NDJSON: ReportedLineSerializer},
        parameters=[
            OpenApiParameter(
                CANCEL_HEADER,
                {"type": "string", "enum": ["true"]},
                OpenApiParameter.HEADER,
                response=[200],
                description="A person has asked to cancel the run: stop, and finish it as cancelled.",
            )
        ],
        responses={200: ReportedSerializer} | answers(400, 404, 409, 411, 413, 415),
    )
    def post(self, request: Request, pk: int) -> Response:
        run = _reported_run(self)
        # A body of no bytes reaches no parser, and is NDJSON of no lines: the reporter only says that it lives.
        says_nothing = not request.data and request.content_type.startswith(NDJSON)
        lines = [] if says_nothing else reported_lines(request.data)
        with _refusals():
            current = reporting.append_lines(run, request.user, lines)
        headers = {CANCEL_HEADER: "true"} if current.cancel_requested_at else None
        return Response({"last_sequence": current.line_count}, headers=headers)


class FinishView(_ReportView):
    """The end of a run that happened elsewhere."""

    needs = {"post": _REPORT}
    serializer_class = FinishSerializer

    @extend_schema(
        operation_id="runs_finish",
        summary="Finish a run that happened elsewhere",
        description="Seals the log and lets the payloads expire. Told again with the same body, it changes nothing.",
        request=FinishSerializer,
        responses={200: RunSerializer} | answers(400, 404, 409, 411, 413, 415),
    )
    def post(self, request: Request, pk: int) -> Response:
        run = self.get_run()
        given = FinishSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        outcome = given.validated_data | {"error": given.validated_data["error"] or ""}
        with _refusals():
            reporting.finish_reported_run(run, request.user, **outcome)
        return Response(RunSerializer(self.get_run(), context=self.get_serializer_context()).data)


class ReportedPayloadView(_ReportView):
    """A file that passed through a run that happens elsewhere."""

    http_method_names = ["put"]
    needs = {"put": _REPORT}
    streams_body = True
    parser_classes = (AnyParser,)  # type: ignore[assignment]

    @extend_schema(
        operation_id="runs_payloads_put",
        summary="Keep a file of a run that happens elsewhere",
        description=(
            "The body is the file as it is, up to 1 GiB or what the operator set (413); `Content-Type` is kept too. "
            "The name is one of a file, without folders. The same bytes again change nothing (200); other bytes "
            "under the same kind and name are refused (409): what was kept is evidence, and is not replaced."
        ),
        parameters=[
            OpenApiParameter("kind", str, OpenApiParameter.PATH, enum=Payload.Kind.values),
            OpenApiParameter(
                "name",
                {"type": "string", "minLength": 1, "maxLength": 255},
                OpenApiParameter.PATH,
                description="Name of the file.",
            ),
            OpenApiParameter(
                SEQUENCE_HEADER,
                {"type": "integer", "minimum": 1},
                OpenApiParameter.HEADER,
                description="The line of the log at which the file stands.",
            ),
        ],
        request={"application/octet-stream": OpenApiTypes.BINARY},
        responses={
            200: OpenApiResponse(PayloadSerializer, "The very same file is kept already."),
            201: OpenApiResponse(PayloadSerializer, "The file is kept."),
        }
        | answers(400, 404, 409, 411, 413, 503),
    )
    def put(self, request: Request, pk: int, kind: str, name: str) -> Response:
        run = self.get_run()
        with _refusals():
            payload, is_new = reporting.store_reported_payload(
                run,
                request.user,
                kind=_kind(kind),
                name=_name(name),
                content_type=media_type(request.content_type or "")[:100],
                stream=cast("BinaryIO", _Body(request)),
                sequence=_sequence(request),
            )
        kept = visible_payloads(request).get(pk=payload.pk)
        document = PayloadSerializer(kept, context=self.get_serializer_context()).data
        return Response(document, status=HTTPStatus.CREATED if is_new else HTTPStatus.OK)


class _Body:
    """The body of a request, read as it comes; one that ends early is an error, not a shorter file."""

    def __init__(self, request: Request) -> None:
        length = request.META.get("CONTENT_LENGTH") or ""
        self._left = int(length) if length.isdecimal() else None
        if self._left is None and not request.META.get("wsgi.input_terminated"):
            raise LengthRequired(_("Say in Content-Length how many bytes come."))
        if self._left is not None and self._left > settings.MAX_PAYLOAD_BYTES:
            raise reporting.PayloadTooLarge
        # Django takes a body without a length for an empty one; the server knows where its chunks end.
        stream: Any = request._request if self._left is not None else request.META["wsgi.input"]
        self._stream: IO[bytes] = stream

    def read(self, size: int = -1) -> bytes:
        data = self._stream.read(size)
        if self._left is not None:
            self._left -= len(data)
            if self._left > 0 and (not data or size < 0):
                raise OSError(None, _("the body ended before its end"))
        return data


def _reported_run(view: GenericAPIView[Run]) -> Run:
    """The run, where it is there for the token (else 404) and the token may report it (else 403)."""
    runs = visible_runs(view.request).select_related("service", "started_by")
    run = get_object_or_404(runs, pk=view.kwargs["pk"])
    view.check_object_permissions(view.request, run)
    return run


@contextmanager
def _refusals() -> Iterator[None]:
    """What reporting refuses, as problems."""
    try:
        yield
    except reporting.NotReported:
        raise RunIsNotReported(_("Only runs of reported services are reported.")) from None
    except reporting.WrongReporter:
        raise RunOfAnotherReporter(_("Report with a token of the user who opened the run.")) from None
    except reporting.ReportEnded as error:
        raise RunHasEnded(
            _("The run has ended already: %(status)s.") % {"status": error.status}, run_status=error.status
        ) from None
    except reporting.LogGap as error:
        raise LinesMissing(
            _("The next line is number %(expected)d; send it first.") % {"expected": error.expected},
            expected_sequence=error.expected,
        ) from None
    except reporting.PayloadExists as error:
        raise PayloadNameTaken(
            _("The file that is kept has the SHA-256 %(digest)s; take another name.")
            % {"digest": error.payload.sha256}
        ) from None
    except reporting.PayloadTooLarge:
        raise PayloadTooLarge(
            _("At most %(most)g MiB of one payload are kept (SYNCLOG_MAX_PAYLOAD_MIB).")
            % {"most": settings.MAX_PAYLOAD_BYTES / 2**20}
        ) from None
    except PayloadNotStored as error:
        raise PayloadStoreUnavailable(str(error), headers={"Retry-After": "5"}) from None


def _kind(given: str) -> str:
    if given not in Payload.Kind.values:
        known = _("Known are: %(names)s.") % {"names": ", ".join(Payload.Kind.values)}
        raise serializers.ValidationError({"kind": [known]})
    return given


def _name(given: str) -> str:
    try:
        check_name(given)
    except DjangoValidationError as error:
        raise serializers.ValidationError({"name": error.messages}) from None
    return given


def _sequence(request: Request) -> int | None:
    given = request.headers.get(SEQUENCE_HEADER)
    if given is None:
        return None
    try:
        return int(WholeNumberField(least=1).run_validation(given))
    except serializers.ValidationError as error:
        raise serializers.ValidationError({SEQUENCE_HEADER: error.detail}) from None
