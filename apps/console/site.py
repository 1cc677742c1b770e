from django.contrib.admin import AdminSite
from django.utils.translation import gettext_lazy as _


class SynclogAdminSite(AdminSite):
    site_header = "Synclog"
    site_title = "Synclog"
    index_title = _("Home")
