"""Records of a run: their keys, what became of each of them, and sending them again.

May import the log and the models.
"""
