"""The SQL that claims due tasks for a worker, and reclaims those of lost workers."""
