"""Registration of all pages in the admin."""

from django.contrib import admin

from apps.alerts.models import Channel, Delivery, Incident, MaintenanceWindow, Rule
from apps.console.alerts.channels import ChannelAdmin
from apps.console.alerts.deliveries import DeliveryAdmin
from apps.console.alerts.incidents import IncidentAdmin
from apps.console.alerts.rules import MaintenanceAdmin, RuleAdmin
from apps.console.payloads.admin import PayloadAdmin
from apps.console.runs.admin import RunAdmin
from apps.console.services.admin import ServiceAdmin
from apps.console.settings.connection_admin import ConnectionAdmin
from apps.runs.models import Payload, Run
from apps.services.models import Connection, Service

admin.site.register(Service, ServiceAdmin)
admin.site.register(Connection, ConnectionAdmin)
admin.site.register(Run, RunAdmin)
admin.site.register(Payload, PayloadAdmin)
admin.site.register(Incident, IncidentAdmin)
admin.site.register(Rule, RuleAdmin)
admin.site.register(MaintenanceWindow, MaintenanceAdmin)
admin.site.register(Channel, ChannelAdmin)
admin.site.register(Delivery, DeliveryAdmin)
