"""The SQL of the log: the feed of changes, partitions, retention, statistics."""
