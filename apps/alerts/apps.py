from django.apps import AppConfig


class AlertsConfig(AppConfig):
    name = "apps.alerts"

    def ready(self) -> None:
        # The models must be loaded before.
        from apps.alerts.incidents.run_events import receive_run_end
        from apps.runs.execution.run_end import run_ended

        run_ended.connect(receive_run_end, dispatch_uid="alerts")
