"""Home page: what needs attention."""
