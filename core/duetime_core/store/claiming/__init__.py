"""The SQL that claims due tasks for a worker, and rescues those whose worker was lost."""
