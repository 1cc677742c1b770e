"""Requests and responses, one module per resource. The names of fields are part of the contract."""
