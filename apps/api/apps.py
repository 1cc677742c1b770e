from importlib import import_module

from django.apps import AppConfig


class ApiConfig(AppConfig):
    name = "apps.api"

    def ready(self) -> None:
        # drf-spectacular finds its extensions once they are imported, and nothing else imports them early.
        import_module("apps.api.schema")
