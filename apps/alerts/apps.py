from django.apps import AppConfig


class AlertsConfig(AppConfig):
    name = "apps.alerts"

    def ready(self) -> None:
        # Here, because these modules import models, which are not loaded yet when this module is.
        from apps.alerts.audit_kinds import KINDS
        from apps.alerts.incidents.run_events import receive_run_end
        from apps.audit.trail import register_kind
        from apps.runs.execution.run_end import run_ended
        from apps.services.definition.sections import register_section, register_service_part

        run_ended.connect(receive_run_end, dispatch_uid="alerts")
        register_section("apps.alerts.channels.definition.CHANNEL_SECTION")
        register_section("apps.alerts.rules.definition.RULES_SECTION")
        register_service_part("apps.alerts.rules.definition.ALERTS_PART")
        for kind in KINDS:
            register_kind(kind)
