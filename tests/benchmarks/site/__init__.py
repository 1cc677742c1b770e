"""The site with two minimal views, which are the references of figures."""
