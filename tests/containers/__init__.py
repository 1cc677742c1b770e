"""The image and compose.yaml in real containers (`make containers`); needs Docker, and root for stand-ins."""
