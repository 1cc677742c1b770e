from django.apps import AppConfig


class ConsoleConfig(AppConfig):
    name = "apps.console"

    def ready(self) -> None:
        # Here, because the module imports models, which are not loaded yet when this module is.
        from apps.console.account.audit import connect_signals

        connect_signals()
