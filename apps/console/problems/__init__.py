"""Pages of problems: list, detail and changes, and the panel on other pages."""
