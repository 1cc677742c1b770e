"""Connections, services and scripts."""

from apps.services.models.connection import Connection
from apps.services.models.connection_state import ConnectionState
from apps.services.models.host_key import HostKey
from apps.services.models.script import Script
from apps.services.models.service import Service
from apps.services.models.user_time_zone import UserTimeZone

__all__ = ("Connection", "ConnectionState", "HostKey", "Script", "Service", "UserTimeZone")
