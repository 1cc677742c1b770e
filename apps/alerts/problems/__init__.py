"""Problems: creation and reopening by occurrences, changes by users, frequency, and retention.

May import the models and the incidents.
"""
