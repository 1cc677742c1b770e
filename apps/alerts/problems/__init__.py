"""Problems: what occurrences make of them, changes by users, frequency, and retention.

May import the models and the incidents.
"""
