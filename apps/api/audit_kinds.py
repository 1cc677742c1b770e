"""API tokens in the audit log."""

from django.utils.translation import gettext_lazy as _

from apps.api.models import ApiToken
from apps.audit.models import Action
from apps.audit.trail import Kind
from apps.services.audit_kinds import unless_all_visible

# Entries of tokens name the services that these are limited to.
KINDS = (Kind("token", _("API token"), ApiToken, ("name", "prefix"), unless_all_visible(), Action.REVOKED),)
