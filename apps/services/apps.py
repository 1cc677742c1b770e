from django.apps import AppConfig


class ServicesConfig(AppConfig):
    name = "apps.services"

    def ready(self) -> None:
        # Here, because these modules import models, which are not loaded yet when this module is.
        from apps.audit.trail import register_kind
        from apps.services.audit_kinds import KINDS

        for kind in KINDS:
            register_kind(kind)
