"""Reports: what happened to tasks in a period, as a page with charts, and as a table for other programs."""
