"""What users set for themselves: their time zone."""
