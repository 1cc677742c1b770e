"""Which rows a request gets: visibility, filters and pagination."""
