"""Synclog's site with two views more, bare ones, that ours are compared with."""
