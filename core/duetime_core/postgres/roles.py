"""The privileges of the role that servers and workers use, where it does not own the tables."""

import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

# A role's name cannot be a bind parameter.
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
    -- For future partitions of the log.
    EXECUTE format('ALTER DEFAULT PRIVILEGES IN SCHEMA %s GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO %s',
        schema, role);
    EXECUTE format('REVOKE INSERT, UPDATE, DELETE ON alembic_version FROM %s', role);
    -- Retention deletes as the owner.
    EXECUTE format('REVOKE UPDATE, DELETE ON audit_events FROM %s', role);
END $$
""")


async def grant(connection: sqlalchemy_asyncio.AsyncConnection, role: str) -> None:
    """Lets the role read and write the rows of all tables, those included that the migrating role creates later.

    It can neither change nor delete audit events. To create and drop partitions of the log, and to delete old audit
    events, it must also be a member of the owner; see `partition_changes.begin`.
    """
    await connection.execute(_NAME, {"role": role})
    await connection.execute(_GRANT)
