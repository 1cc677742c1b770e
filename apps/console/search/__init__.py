"""Search over runs, records, services, connections and payloads, from the box in the header of every page."""
