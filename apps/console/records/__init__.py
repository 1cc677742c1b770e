"""Records: what became of each record, over all services; the history of one key; CSV; resync."""
