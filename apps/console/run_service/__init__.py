"""Run service: the form that starts a run by hand."""
