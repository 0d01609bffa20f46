"""Shared by all rpcs: errors, deadlines, admission, limits, and reading single fields."""
