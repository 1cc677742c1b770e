"""The application as it is served, with the views of `urls.py` besides."""

from django.conf import settings

from config.wsgi import application

__all__ = ("application",)

settings.ROOT_URLCONF = "tests.benchmarks.site.urls"
