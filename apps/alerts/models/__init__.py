"""Models of problems, incidents, channels and deliveries."""

from apps.alerts.models.channel import Channel
from apps.alerts.models.delivery import Delivery, DeliveryAttempt
from apps.alerts.models.problem import Problem, ProblemChange

__all__ = ("Channel", "Delivery", "DeliveryAttempt", "Problem", "ProblemChange")
