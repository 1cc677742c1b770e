"""Policies in YAML (overlap, retries, failures, retention) and reported services."""

import pytest

from apps.services.definition.loading import load_services
from apps.services.models import Service

pytestmark = pytest.mark.django_db

PLAIN = """\
connections:
  shop: {kind: http, base_url: "http://127.0.0.1:3000"}
services:
  orders:
    source: {connection: shop, path: /orders}
    destination: {connection: shop, path: /stock}
"""
POLICIES = """\
    overlap: queue
    retry_limit: 2
    pause_after_failures: 5
    capture_on_failure: true
    log_retention_days: 90
"""


def policies() -> tuple[object, ...]:
    service = Service.objects.get(slug="orders")
    return (
        service.overlap,
        service.retry_limit,
        service.pause_after_failures,
        service.capture_on_failure,
        service.log_retention_days,
    )


def test_policies_are_loaded_and_reset():
    load_services(PLAIN + POLICIES)
    assert policies() == ("queue", 2, 5, True, 90)
    assert load_services(PLAIN + POLICIES).unchanged == ("connection shop", "service orders")

    load_services(PLAIN)
    assert policies() == ("skip", 0, 0, False, None)


def test_reported_service_needs_no_connections():
    text = "services: {payroll: {kind: reported, name: Payroll, log_retention_days: 7}}"

    assert load_services(text).created == ("service payroll",)

    service = Service.objects.get()
    assert (service.kind, service.name, service.log_retention_days) == ("reported", "Payroll", 7)
    assert (service.source_connection, service.destination_connection) == (None, None)
    assert load_services(text).unchanged == ("service payroll",)


def test_schedule_that_is_loaded_as_on_is_not_paused():
    load_services(PLAIN)
    Service.objects.update(is_active=False, paused_at="2026-01-01T00:00Z")

    load_services(f"{PLAIN}    is_active: true\n")

    service = Service.objects.get(slug="orders")
    assert (service.is_active, service.paused_at) == (True, None)
