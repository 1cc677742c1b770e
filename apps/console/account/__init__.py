"""Accounts: login with django-allauth, and the account pages of users."""
