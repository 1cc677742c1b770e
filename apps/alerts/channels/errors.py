"""The error of a delivery."""


class DeliveryError(Exception):
    """The channel has not accepted a message; the text says why."""
