from importlib import import_module

from django.apps import AppConfig


class ApiConfig(AppConfig):
    name = "apps.api"

    def ready(self) -> None:
        # drf-spectacular finds its extensions once they are imported, and nothing else imports them early.
        import_module("apps.api.schema")

        # Models can be imported only once the apps are there.
        from apps.api.models import ApiToken, ApiTokenService
        from apps.services.access import watch, watch_relation

        watch(ApiToken, ApiTokenService)
        watch_relation(ApiTokenService)
