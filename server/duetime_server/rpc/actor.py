"""Who does what a call asks for, as logs name the actor."""

CALLER = "api"
"""Any caller: there is no authentication yet."""
