"""Records of a run: their keys, selection, outcomes and payloads.

May import the log and the models.
"""
