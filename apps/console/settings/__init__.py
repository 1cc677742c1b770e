"""Settings pages: the forms of connections and services."""
