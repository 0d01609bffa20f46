"""Duetime's worker: it claims due tasks and runs their handlers."""
