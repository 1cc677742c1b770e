"""Reports of runs that happen elsewhere: lines, records, files and the result."""

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

from apps.api.http.file_names import check_name, media_type
from apps.api.http.parsers import NDJSON, LinesJSONParser, NdjsonParser, RecordsNdjsonParser, StreamParser
from apps.api.http.problems import (
    LengthRequired,
    LinesMissing,
    PayloadNameTaken,
    PayloadStoreUnavailable,
    PayloadTooLarge,
    RunHasEnded,
    RunIsNotReported,
    RunOfAnotherReporter,
)
from apps.api.models import ApiToken
from apps.api.queries.visibility import visible_payloads, visible_runs
from apps.api.schema import problem_responses
from apps.api.serializers.fields import WholeNumberField
from apps.api.serializers.payloads import PayloadSerializer
from apps.api.serializers.reports import (
    FinishSerializer,
    RecordedSerializer,
    ReportedLineSerializer,
    ReportedLinesSerializer,
    ReportedRecordSerializer,
    ReportedRecordsSerializer,
    ReportedSerializer,
    parse_lines,
    parse_records,
)
from apps.api.serializers.runs import RunSerializer
from apps.api.tokens.permissions import Requires
from apps.api.views.base import ApiView
from apps.api.views.log import LogView
from apps.runs.models import Payload, Run
from apps.runs.payloads.storage import PayloadNotStored
from apps.runs.reported import payloads, reporting
from apps.runs.reported.records import append_records
from apps.services.definition.option_errors import choice_message

SEQUENCE_HEADER = "X-Log-Sequence"
# Response header once a person has asked to cancel the run.
CANCEL_HEADER = "Synclog-Cancel-Requested"
_CANCEL_PARAMETER = OpenApiParameter(
    CANCEL_HEADER,
    {"type": "string", "enum": ["true"]},
    OpenApiParameter.HEADER,
    response=[200],
    description="A person has asked to cancel the run; stop, and finish it as cancelled.",
)
_REPORT = Requires(ApiToken.Scope.RUN_REPORT, ("runs.start_run",))


class _ReportView(ApiView, GenericAPIView[Run]):
    queryset = Run.objects.none()


class RunLogView(LogView):
    """Log of a run: readable with run:read, writable for its reporter."""

    required = LogView.required | {"post": _REPORT}
    parser_classes = (NdjsonParser, LinesJSONParser)  # type: ignore[assignment]

    @extend_schema(
        operation_id="runs_log_report",
        summary="Report log lines",
        description=(
            "Up to 10,000 lines and 8 MiB per request, numbered by the reporter. Repeated lines change "
            "nothing; if a line is missing, the response is 409 with `expected_sequence`, and nothing is "
            "stored. Every request renews the lease: after five minutes of silence the run is lost, so "
            "send an empty batch if there is nothing to report."
        ),
        request={"application/json": ReportedLinesSerializer, NDJSON: ReportedLineSerializer},
        parameters=[_CANCEL_PARAMETER],
        responses={200: ReportedSerializer} | problem_responses(400, 404, 409, 411, 413, 415),
    )
    def post(self, request: Request, pk: int) -> Response:
        run = _get_reported_run(self)
        lines = [] if _is_empty(request) else parse_lines(request.data)
        with _errors_as_problems():
            current = reporting.append_lines(run, request.user, lines)
        return Response({"last_sequence": current.line_count}, headers=_cancel_header(current))


class RunRecordsView(_ReportView):
    """Records of a reported run."""

    required = {"post": _REPORT}
    parser_classes = (RecordsNdjsonParser, LinesJSONParser)  # type: ignore[assignment]

    @extend_schema(
        operation_id="runs_records_report",
        summary="Report what became of records",
        description=(
            "Up to 10,000 records and 8 MiB per request. Of several outcomes of a record the worst counts, so "
            "that repeated records change nothing. Renews the lease."
        ),
        request={"application/json": ReportedRecordsSerializer, NDJSON: ReportedRecordSerializer},
        parameters=[_CANCEL_PARAMETER],
        responses={200: RecordedSerializer} | problem_responses(400, 404, 409, 411, 413, 415),
    )
    def post(self, request: Request, pk: int) -> Response:
        run = _get_reported_run(self)
        records = [] if _is_empty(request) else parse_records(request.data)
        with _errors_as_problems():
            current = append_records(run, request.user, records)
        return Response({"record_count": len(records)}, headers=_cancel_header(current))


class FinishView(_ReportView):
    """Result of a reported run."""

    required = {"post": _REPORT}

    @extend_schema(
        operation_id="runs_finish",
        summary="Finish a reported run",
        description="Seals the log and sets the expiry of the payloads. Repeating the request changes "
        "nothing.",
        request=FinishSerializer,
        responses={200: RunSerializer} | problem_responses(400, 404, 409, 411, 413, 415),
    )
    def post(self, request: Request, pk: int) -> Response:
        run = _get_reported_run(self)
        serializer = FinishSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        outcome = serializer.validated_data | {"error": serializer.validated_data["error"] or ""}
        with _errors_as_problems():
            reporting.finish_reported_run(run, request.user, **outcome)
        return Response(RunSerializer(_get_reported_run(self), context=self.get_serializer_context()).data)


class ReportedPayloadView(_ReportView):
    """File of a reported run."""

    http_method_names = ["put"]
    required = {"put": _REPORT}
    streams_body = True
    parser_classes = (StreamParser,)  # type: ignore[assignment]

    @extend_schema(
        operation_id="runs_payloads_put",
        summary="Store a file of a reported run",
        description=(
            "The body is the file, up to 1 GiB or the configured limit (413); its `Content-Type` is "
            "stored. The name is a plain file name. The same bytes again change nothing (200); other "
            "bytes under the same kind and name are refused (409), because a stored file is evidence."
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
                description="Log line of the file.",
            ),
        ],
        request={"application/octet-stream": OpenApiTypes.BINARY},
        responses={
            200: OpenApiResponse(PayloadSerializer, "The file is stored already."),
            201: OpenApiResponse(PayloadSerializer, "The file is stored."),
        }
        | problem_responses(400, 404, 409, 411, 413, 503),
    )
    def put(self, request: Request, pk: int, kind: str, name: str) -> Response:
        run = _get_reported_run(self)
        with _errors_as_problems():
            payload, is_new = payloads.store_reported_payload(
                run,
                request.user,
                kind=_check_kind(kind),
                name=_check_name(name),
                content_type=media_type(request.content_type or "")[:100],
                stream=cast("BinaryIO", _BodyStream(request)),
                sequence=_log_sequence(request),
            )
        row = visible_payloads(request).get(pk=payload.pk)
        document = PayloadSerializer(row, context=self.get_serializer_context()).data
        return Response(document, status=HTTPStatus.CREATED if is_new else HTTPStatus.OK)


class _BodyStream:
    """Body of a request as a stream. An incomplete body raises OSError; it is not a shorter file."""

    def __init__(self, request: Request) -> None:
        length = request.META.get("CONTENT_LENGTH") or ""
        self._remaining = int(length) if length.isdecimal() else None
        if self._remaining is None and not request.META.get("wsgi.input_terminated"):
            raise LengthRequired(_("Missing Content-Length; send the number of bytes."))
        if self._remaining is not None and self._remaining > settings.MAX_PAYLOAD_BYTES:
            raise payloads.PayloadTooLarge
        # Django treats a body without a length as empty; the server knows where its chunks end.
        stream: Any = request._request if self._remaining is not None else request.META["wsgi.input"]
        self._stream: IO[bytes] = stream

    def read(self, size: int = -1) -> bytes:
        data = self._stream.read(size)
        if self._remaining is not None:
            self._remaining -= len(data)
            if self._remaining > 0 and (not data or size < 0):
                raise OSError(None, _("the body is incomplete"))
        return data


def _is_empty(request: Request) -> bool:
    """DRF parses no empty body. As NDJSON it is an empty batch, which only renews the lease."""
    return not request.data and request.content_type.startswith(NDJSON)


def _cancel_header(run: Run) -> dict[str, str] | None:
    return {CANCEL_HEADER: "true"} if run.cancel_requested_at else None


def _get_reported_run(view: GenericAPIView[Run]) -> Run:
    """The run, if the token can see it (else 404) and may report it (else 403)."""
    runs = visible_runs(view.request).select_related("service", "started_by")
    run = get_object_or_404(runs, pk=view.kwargs["pk"])
    view.check_object_permissions(view.request, run)
    return run


@contextmanager
def _errors_as_problems() -> Iterator[None]:
    """Raises the errors of apps.runs.reported as problems."""
    try:
        yield
    except reporting.NotReported:
        raise RunIsNotReported(
            _("Synclog executes this run; report runs of reported services only.")
        ) from None
    except reporting.WrongReporter:
        raise RunOfAnotherReporter(_("Report with a token of the user who opened the run.")) from None
    except reporting.ReportEnded as error:
        raise RunHasEnded(
            _("The run has ended already: %(status)s.") % {"status": error.status}, run_status=error.status
        ) from None
    except reporting.LogGap as error:
        raise LinesMissing(
            _("Lines are missing; send line %(expected)d first.") % {"expected": error.expected},
            expected_sequence=error.expected,
        ) from None
    except payloads.PayloadExists as error:
        raise PayloadNameTaken(
            _("Another file with the SHA-256 %(digest)s is stored; use another name.")
            % {"digest": error.payload.sha256}
        ) from None
    except payloads.PayloadTooLarge:
        raise PayloadTooLarge(
            _("The file exceeds the limit of %(most)g MiB (SYNCLOG_MAX_PAYLOAD_MIB).")
            % {"most": settings.MAX_PAYLOAD_BYTES / 2**20}
        ) from None
    except PayloadNotStored as error:
        raise PayloadStoreUnavailable(str(error), headers={"Retry-After": "5"}) from None


def _check_kind(kind: str) -> str:
    if kind not in Payload.Kind.values:
        raise serializers.ValidationError({"kind": [choice_message(kind, Payload.Kind.values)]})
    return kind


def _check_name(name: str) -> str:
    try:
        check_name(name)
    except DjangoValidationError as error:
        raise serializers.ValidationError({"name": error.messages}) from None
    return name


def _log_sequence(request: Request) -> int | None:
    value = request.headers.get(SEQUENCE_HEADER)
    if value is None:
        return None
    try:
        return int(WholeNumberField(min_value=1).run_validation(value))
    except serializers.ValidationError as error:
        raise serializers.ValidationError({SEQUENCE_HEADER: error.detail}) from None
