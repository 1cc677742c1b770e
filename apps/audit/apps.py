from django.apps import AppConfig


class AuditConfig(AppConfig):
    name = "apps.audit"

    def ready(self) -> None:
        # Here, because these modules import models, which are not loaded yet when this module is.
        from apps.audit import sources
        from apps.audit.trail import register_kind, register_source

        for kind in sources.KINDS:
            register_kind(kind)
        for source in sources.SOURCES:
            register_source(source)
