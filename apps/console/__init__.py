"""The console: the Django admin, with one package for each page.

May import `apps.alerts`, `apps.runs`, `apps.services` and `apps.audit`.
The parts that pages share are in `ui`, which imports no page.
"""
