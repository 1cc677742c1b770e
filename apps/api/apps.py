from django.apps import AppConfig


class ApiConfig(AppConfig):
    name = "apps.api"

    def ready(self) -> None:
        # Here, because these modules import models, which are not loaded yet when this module is.
        from apps.api.audit_kinds import KINDS
        from apps.audit.trail import register_kind

        for kind in KINDS:
            register_kind(kind)
