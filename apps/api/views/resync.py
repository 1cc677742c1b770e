"""Resync: sends records of a run again."""

from __future__ import annotations

from http import HTTPStatus

from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.generics import GenericAPIView, get_object_or_404
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse

from apps.api.http.parsers import LinesJSONParser
from apps.api.models import ApiToken
from apps.api.queries.visibility import visible_runs
from apps.api.schema import problem_responses
from apps.api.serializers.records import OUTCOMES, ResyncSerializer
from apps.api.serializers.runs import RunSerializer
from apps.api.tokens.permissions import Requires
from apps.api.views.base import ApiView
from apps.api.views.idempotency import IDEMPOTENCY_PARAMETER, idempotency_key, key_reused
from apps.runs.execution.resync import IdempotencyKeyConflict
from apps.runs.models import Run
from apps.runs.tasks import start_resync


class ResyncView(ApiView, GenericAPIView[Run]):
    """Resync of records of a run."""

    required = {"post": Requires(ApiToken.Scope.RUN_START, ("runs.start_run",))}
    queryset = Run.objects.none()
    # Thousands of keys are larger than other requests.
    parser_classes = (LinesJSONParser,)

    @extend_schema(
        operation_id="runs_resync",
        summary="Send records of a run again",
        description=(
            "Queues a run (`trigger` retry, `retry_of`) that is limited to records of an earlier run: to up to "
            "10,000 `keys`, or to all with an `outcome`. They come from the stored pull payloads, or are pulled "
            "again. Records that were pushed in the meantime are skipped and listed in the log. While such a run "
            "is open, the same request returns it, with the header `Idempotency-Key` also afterwards; a request "
            "for some of its records is refused."
        ),
        request=ResyncSerializer,
        parameters=[
            IDEMPOTENCY_PARAMETER,
            OpenApiParameter(
                "Location",
                {"type": "string", "format": "uri"},
                OpenApiParameter.HEADER,
                response=[202],
                description="URL of the run.",
            ),
        ],
        responses={202: OpenApiResponse(RunSerializer, "The run is queued.")}
        | problem_responses(400, 404, 411, 413, 415, 422),
    )
    def post(self, request: Request, pk: int) -> Response:
        original = get_object_or_404(visible_runs(request).select_related("service", "replay_of"), pk=pk)
        self.check_object_permissions(request, original)
        serializer = ResyncSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        data = serializer.validated_data
        try:
            run = start_resync(
                original,
                user=request.user,
                keys=data.get("keys", ()),
                outcome=OUTCOMES.get(data.get("outcome")),
                origin=data.get("from"),
                is_dry_run=data["dry_run"],
                idempotency_key=idempotency_key(request),
            )
        except IdempotencyKeyConflict as error:
            raise key_reused(error.run) from None
        document = RunSerializer(run, context=self.get_serializer_context()).data
        location = reverse("api:run-detail", (run.pk,), request=request)
        return Response(document, status=HTTPStatus.ACCEPTED, headers={"Location": location})
