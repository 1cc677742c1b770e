"""The settings forms: what a person writes, checked before it is saved."""

from apps.console.forms.connection import ConnectionForm
from apps.console.forms.pages import ServiceSettings
from apps.console.forms.service import ServiceForm

__all__ = ("ConnectionForm", "ServiceForm", "ServiceSettings")
