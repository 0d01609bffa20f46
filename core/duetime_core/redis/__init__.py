"""Redis: wakeups for workers, and hints of what changed."""
