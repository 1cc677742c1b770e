from django.apps import AppConfig


class AlertsConfig(AppConfig):
    name = "apps.alerts"

    def ready(self) -> None:
        # Here, because these modules import models, which are not loaded yet when this module is.
        from apps.alerts.channels.definition import CHANNEL_SECTION
        from apps.alerts.incidents.run_events import receive_run_end
        from apps.alerts.rules.definition import ALERTS_PART, RULES_SECTION
        from apps.runs.execution.run_end import run_ended
        from apps.services.definition.sections import register_section, register_service_part

        run_ended.connect(receive_run_end, dispatch_uid="alerts")
        register_section(CHANNEL_SECTION)
        register_section(RULES_SECTION)
        register_service_part(ALERTS_PART)
