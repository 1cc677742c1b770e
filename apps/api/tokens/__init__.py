"""Tokens: authentication, permissions, rate limits, and the form that creates a token."""
