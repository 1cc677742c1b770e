"""Run service: the form that starts a run manually."""
