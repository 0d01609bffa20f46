"""The rights of the role that servers and workers have, where it is another than the owner of the tables."""

import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

# Names of roles cannot be bound.
_NAME = sa.text("SELECT set_config('duetime.role', :role, true)")
_GRANT = sa.text("""
DO $$
DECLARE
    role text := quote_ident(current_setting('duetime.role'));
    schema text := quote_ident(current_schema());
BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA %s TO %s', schema, role);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA %s TO %s', schema, role);
    EXECUTE format('GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA %s TO %s', schema, role);
    -- The log's partitions of months to come.
    EXECUTE format('ALTER DEFAULT PRIVILEGES IN SCHEMA %s GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO %s',
        schema, role);
    EXECUTE format('REVOKE INSERT, UPDATE, DELETE ON alembic_version FROM %s', role);
END $$
""")


async def grant(connection: sqlalchemy_asyncio.AsyncConnection, role: str) -> None:
    """Lets the role read and write the rows of all tables, and of those that the migrating role makes later.

    To make and drop partitions of the log it has to be a member of the owner besides, as `partitions.changing` is.
    """
    await connection.execute(_NAME, {"role": role})
    await connection.execute(_GRANT)
