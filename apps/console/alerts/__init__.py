"""Pages of alerts: rules, maintenance windows and incidents."""
