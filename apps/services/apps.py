from django.apps import AppConfig


class ServicesConfig(AppConfig):
    name = "apps.services"

    def ready(self) -> None:
        from apps.services.access import watch_all

        watch_all()
