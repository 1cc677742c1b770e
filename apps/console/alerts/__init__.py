"""Pages of alerts: rules, maintenance windows, channels, deliveries and incidents."""
