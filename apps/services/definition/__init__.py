"""Options of connections and services: their definition, validation, and loading from YAML.

May import the models, the secrets and the sandbox of `apps.services`.
"""
