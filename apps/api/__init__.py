"""What machines fetch: the HTTP API and its tokens.

May import `apps.runs` and `apps.services`.
"""
