"""Connections, services and scripts."""

from apps.services.models.connection import Connection
from apps.services.models.connection_state import ConnectionState
from apps.services.models.service import Script, Service

__all__ = ("Connection", "ConnectionState", "Script", "Service")
