"""Watches: streams of changes, fed by one reader of the log."""
