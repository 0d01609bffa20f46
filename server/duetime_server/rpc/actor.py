"""The actor of a call, as logs name it."""

CALLER = "api"
"""Any caller: there is no authentication yet."""
