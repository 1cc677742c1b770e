"""The log of a run: written line by line to a spool, shipped to the database, sealed at the end, read back.

May import the models.
"""
