"""The handlers that every worker has."""
