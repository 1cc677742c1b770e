"""Models of problems, incidents, channels and deliveries."""

from apps.alerts.models.channel import Channel
from apps.alerts.models.delivery import Delivery, DeliveryAttempt
from apps.alerts.models.incident import Incident, Notice
from apps.alerts.models.problem import Problem, ProblemChange
from apps.alerts.models.rule import MaintenanceWindow, Rule

__all__ = (
    "Channel",
    "Delivery",
    "DeliveryAttempt",
    "Incident",
    "MaintenanceWindow",
    "Notice",
    "Problem",
    "ProblemChange",
    "Rule",
)
