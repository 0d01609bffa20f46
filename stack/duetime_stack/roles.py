"""The roles of the embedded PostgreSQL, and their passwords.

The superuser cannot connect: it creates the roles in single-user mode. Migrations run as the owner; servers and workers
use a role that reads and writes rows. That role may `SET ROLE` to the owner, as maintenance does to create and drop the
log's partitions. Neither role can access the machine (`COPY … FROM PROGRAM`, files).
"""

import os
import pathlib
import secrets

SUPERUSER = "postgres"
OWNER = "duetime_owner"
APPLICATION = "duetime"
DATABASE = "duetime"

# Connections come through a socket in a private directory, and need a password as well.
HBA = f"""\
# Rewritten at each start of Duetime.
local all {OWNER},{APPLICATION} scram-sha-256
"""

_LIMITS = "NOSUPERUSER NOCREATEROLE NOREPLICATION NOBYPASSRLS"

_TRANSFER = """
DO $$ DECLARE each record; BEGIN
    FOR each IN SELECT oid::regclass AS name FROM pg_class
        WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v', 'm', 'f')
    LOOP EXECUTE format('ALTER TABLE %s OWNER TO :owner', each.name); END LOOP;
    FOR each IN SELECT oid::regclass AS name FROM pg_class
        WHERE relnamespace = 'public'::regnamespace AND relkind = 'S' AND relowner <> to_regrole(':owner')
    LOOP EXECUTE format('ALTER SEQUENCE %s OWNER TO :owner', each.name); END LOOP;
    FOR each IN SELECT oid::regprocedure AS name FROM pg_proc WHERE pronamespace = 'public'::regnamespace
    LOOP EXECUTE format('ALTER ROUTINE %s OWNER TO :owner', each.name); END LOOP;
END $$
""".replace(":owner", OWNER)


def passfile(data: pathlib.Path) -> pathlib.Path:
    """Returns the path of libpq's password file, inside the data directory so that a copy has both."""
    return data / "duetime.passfile"


def passwords(data: pathlib.Path) -> dict[str, str]:
    """Returns the passwords by role; empty if the data has no roles yet."""
    try:
        lines = passfile(data).read_text().splitlines()
    except FileNotFoundError:
        return {}
    return {role: password for *_, role, password in (line.split(":") for line in lines)}


def generate_passwords() -> dict[str, str]:
    """Returns new passwords by role."""
    return {role: secrets.token_urlsafe(32) for role in (OWNER, APPLICATION)}


def write_passwords(data: pathlib.Path, passwords_by_role: dict[str, str]) -> None:
    """Writes the password file atomically, readable only by this user."""
    path = passfile(data)
    draft = path.with_name(f"{path.name}.new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.writelines(f"*:*:*:{role}:{password}\n" for role, password in passwords_by_role.items())
    draft.rename(path)


def create_statements(passwords_by_role: dict[str, str]) -> list[str]:
    """Returns the statements that create the roles, or set new passwords of existing ones."""
    limits = {OWNER: f"{_LIMITS} CREATEDB", APPLICATION: f"{_LIMITS} NOCREATEDB"}
    statements = [
        f"DO $$ BEGIN IF to_regrole('{role}') IS NULL THEN CREATE ROLE {role}; END IF; END $$"
        for role in passwords_by_role
    ]
    statements += [
        f"ALTER ROLE {role} LOGIN {limits[role]} PASSWORD '{passwords_by_role[role]}'" for role in passwords_by_role
    ]
    return [
        *statements,
        f"GRANT {OWNER} TO {APPLICATION} WITH INHERIT FALSE, SET TRUE",
        # Needed to replace a database in use with a restored one.
        f"GRANT pg_signal_backend, pg_checkpoint TO {OWNER}",
        f"ALTER ROLE {SUPERUSER} PASSWORD NULL",
    ]


def transfer_statements() -> list[str]:
    """Returns the statements that transfer a database from the superuser to the owner. They run in that database."""
    return [f"ALTER DATABASE {DATABASE} OWNER TO {OWNER}", " ".join(_TRANSFER.split())]
