"""The console: the Django admin, with one package for each page.

May import `apps.runs` and `apps.services`. The parts that pages share are in `ui`, which imports no page.
"""
