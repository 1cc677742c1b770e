"""Everything that Celery runs, and the bell that is rung for it; no other module knows Celery."""
