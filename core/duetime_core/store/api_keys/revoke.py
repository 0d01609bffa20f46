"""Revoking API keys, except the last admin key."""

from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import access, api_key, audit, errors
from duetime_core.postgres import confirmation, database, namespaced
from duetime_core.store.api_keys import rows
from duetime_core.store.audit import write as audit_write

# In the order of their ids, so that of two admins who revoke each other's keys one comes second, and is refused.
_LOCK_ADMINS = namespaced.text("""
SELECT key_id FROM api_keys
WHERE namespace_id = :namespace_id AND role = 'admin' AND revoked_at IS NULL ORDER BY key_id FOR UPDATE
""")
_LOCK = namespaced.text(
    f"SELECT {rows.COLUMNS} FROM api_keys WHERE namespace_id = :namespace_id AND key_id = :key_id FOR UPDATE"
)
# One that is accepted for another day, or as long as the one to revoke would be.
_HAS_OTHER = namespaced.text(f"""
SELECT EXISTS (
    SELECT FROM api_keys
    WHERE namespace_id = :namespace_id AND revoked_at IS NULL AND key_id <> :key_id AND {rows.IS_UNLIMITED_ADMIN}
        AND coalesce(expires_at, 'infinity')
            >= least(clock_timestamp() + interval '1 day', coalesce(CAST(:expires_at AS timestamptz), 'infinity'))
)
""")
_REVOKE = namespaced.text(f"""
UPDATE api_keys SET revoked_at = clock_timestamp()
WHERE namespace_id = :namespace_id AND key_id = :key_id RETURNING {rows.COLUMNS}
""")


async def revoke(
    engine: sqlalchemy_asyncio.AsyncEngine,
    key_id: str,
    *,
    revoker: access.Principal | None,
    actor: str,
    address: str = "",
) -> api_key.ApiKey:
    """Revokes a key, if it is not revoked already.

    Raises ApiKeyNotFound, GrantExceeded if it permits more than the principal may do, LastAdminKey and
    StoreUnavailable.
    """
    with database.unavailable():
        async with database.transaction(engine) as connection:
            await connection.execute(_LOCK_ADMINS)
            row = (await connection.execute(_LOCK, {"key_id": key_id})).one_or_none()
            if row is None:
                raise errors.ApiKeyNotFound.of(key_id)
            present = rows.read(row)
            if revoker is not None and (exceeding := present.grant.exceeds(revoker)):
                raise errors.GrantExceeded.of("revoke", exceeding)
            if present.revoked_at is not None:
                await confirmation.write(connection)
                return present
            if present.is_in_force and _is_unlimited_admin(present.grant):
                parameters = {"key_id": key_id, "expires_at": present.expires_at}
                if not (await connection.execute(_HAS_OTHER, parameters)).scalar_one():
                    raise errors.LastAdminKey(key_id=key_id)
            await audit_write.key_changed(connection, audit.Kind.KEY_REVOKED, key_id, actor=actor, address=address)
            return rows.read((await connection.execute(_REVOKE, {"key_id": key_id})).one())


def _is_unlimited_admin(grant: api_key.Grant) -> bool:
    return (
        grant.role is access.Role.ADMIN and grant.may_read_payloads and grant.handlers is None and grant.queues is None
    )
