"""WSGI application that gunicorn serves: `gunicorn config.wsgi`."""

import gc
import os
from importlib import import_module

from django.conf import settings
from django.core.wsgi import get_wsgi_application

from config.startup import one_line_errors

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

with one_line_errors():
    application = get_wsgi_application()
    # Loads all pages, which the processes that gunicorn forks share; their garbage collectors must not copy them.
    import_module(settings.ROOT_URLCONF)
    gc.freeze()
