"""Log page (More details): the log of one run, live, with search, filters and downloads."""
