"""Models of problems, incidents, channels and deliveries."""

from apps.alerts.models.channel import Channel
from apps.alerts.models.delivery import Delivery, DeliveryAttempt

__all__ = ("Channel", "Delivery", "DeliveryAttempt")
