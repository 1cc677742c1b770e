from django.apps import AppConfig


class ServicesConfig(AppConfig):
    name = "apps.services"

    def ready(self) -> None:
        # Models can be imported only once the apps are there.
        from apps.services.access import watch_all

        watch_all()
