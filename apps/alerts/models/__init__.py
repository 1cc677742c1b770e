"""Models of problems, incidents, channels and deliveries."""
