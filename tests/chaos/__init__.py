"""Duetime's promises under faults: real processes, injected faults, and one checker."""
