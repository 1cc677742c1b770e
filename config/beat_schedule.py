"""Jobs that Celery beat starts at regular intervals."""

from typing import Any

_HOUR = 3600


def beat_schedule(expiry_interval: float) -> dict[str, dict[str, Any]]:
    """All jobs by name; `expiry_interval` is that of the clean-up of payloads, in seconds.

    Without `expires`, which would compare the clocks of two machines. Jobs skip messages that piled up.
    """
    jobs = {
        "queue-due-runs-every-10-seconds": ("queue_due_runs", 10),
        "close-lost-runs-every-30-seconds": ("close_lost_runs", 30),
        "delete-expired-payloads-every-minute": ("delete_expired_payloads", expiry_interval),
        "reconcile-payloads-every-day": ("reconcile_payloads", 24 * _HOUR),
        "prune-logs-every-hour": ("prune_logs", _HOUR),
        "prune-records-every-hour": ("prune_records", _HOUR),
        "prune-audit-log-every-hour": ("prune_audit_log", _HOUR),
        "note-problems-every-10-seconds": ("note_problems", 10),
        "prune-problems-every-hour": ("prune_problems", _HOUR),
        "evaluate-alerts-every-minute": ("evaluate_alerts", 60),
        "send-deliveries-every-10-seconds": ("send_deliveries", 10),
        "prune-deliveries-every-hour": ("prune_deliveries", _HOUR),
    }
    return {
        name: {"task": f"synclog.housekeeping.{job}", "schedule": seconds}
        for name, (job, seconds) in jobs.items()
    }
