"""The roles of the embedded PostgreSQL, and their passwords.

Its superuser takes no connection: it is used without the server running, to make the roles. The owner migrates; servers
and workers have a role that reads and writes rows. That one may `SET ROLE` to the owner, as housekeeping does where it
makes and drops partitions of the log, but neither of them reaches the machine (`COPY … FROM PROGRAM`, files).
"""

import os
import pathlib
import secrets

SUPERUSER = "postgres"
OWNER = "duetime_owner"
APPLICATION = "duetime"
DATABASE = "duetime"

# Every connection comes through a socket in a directory that is closed to other users, and needs a password besides.
HBA = f"""\
# Written at each start of Duetime.
local all {OWNER},{APPLICATION} scram-sha-256
"""

_LIMITS = "NOSUPERUSER NOCREATEROLE NOREPLICATION NOBYPASSRLS"

_HAND_OVER = """
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
    """Returns libpq's password file. It is a part of the data: a copy of that directory has both."""
    return data / "duetime.passfile"


def passwords(data: pathlib.Path) -> dict[str, str]:
    """Returns the passwords by role; none if the data has no roles yet."""
    try:
        lines = passfile(data).read_text().splitlines()
    except FileNotFoundError:
        return {}
    return {role: password for *_, role, password in (line.split(":") for line in lines)}


def generate_passwords() -> dict[str, str]:
    """Returns new passwords by role."""
    return {role: secrets.token_urlsafe(32) for role in (OWNER, APPLICATION)}


def write_passwords(data: pathlib.Path, passwords_by_role: dict[str, str]) -> None:
    """Writes the password file, for this user alone, whole or not at all."""
    path = passfile(data)
    draft = path.with_name(f"{path.name}.new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.writelines(f"*:*:*:{role}:{password}\n" for role, password in passwords_by_role.items())
    draft.rename(path)


def create_statements(passwords_by_role: dict[str, str]) -> list[str]:
    """Returns the statements that make the roles, or give those that are there new passwords."""
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
        # To put a restored database in the place of another one, which is in use.
        f"GRANT pg_signal_backend, pg_checkpoint TO {OWNER}",
        f"ALTER ROLE {SUPERUSER} PASSWORD NULL",
    ]


def transfer_statements() -> list[str]:
    """Returns the statements that give a database, which the superuser made, to the owner. They run in it."""
    return [f"ALTER DATABASE {DATABASE} OWNER TO {OWNER}", " ".join(_HAND_OVER.split())]
