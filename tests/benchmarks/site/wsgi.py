"""The WSGI application with the routes of `urls.py`."""

from django.conf import settings

from config.wsgi import application

__all__ = ("application",)

settings.ROOT_URLCONF = "tests.benchmarks.site.urls"
