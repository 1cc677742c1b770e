"""Accounts: login with django-allauth, and what users set for themselves."""
