"""Reports: statistics of a period as a page with charts and as CSV."""
