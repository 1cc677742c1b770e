"""The WSGI application that gunicorn serves: `gunicorn config.wsgi`."""

import os

from django.core.wsgi import get_wsgi_application

from config.startup import one_line_errors

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

with one_line_errors():
    _django = get_wsgi_application()

# It needs the models, which are there only now.
from apps.runs.log.viewers import Viewers

application = Viewers(_django)
