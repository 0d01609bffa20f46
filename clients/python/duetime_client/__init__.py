"""Duetime's typed Python client."""
