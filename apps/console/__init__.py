"""What staff see: the Django admin, one package a page.

May import `apps.runs` and `apps.services`. The parts that pages share are in `ui`, which imports no page.
"""
