"""PostgreSQL: connections, error mapping, the schema and its migrations."""
