"""Which environment variables each program gets: only those it needs, so that it cannot leak the others.

Workers get all, because handlers need theirs, under whatever names.
"""

_BASIC = frozenset(
    {"HOME", "LANG", "LANGUAGE", "LD_LIBRARY_PATH", "LOGNAME", "PATH", "SHELL", "TERM", "TMPDIR", "TZ", "TZDIR", "USER"}
)
SERVER_SETTINGS = frozenset(
    {
        *("DUETIME_AUTH", "DUETIME_DATABASE_URL", "DUETIME_EDGES", "DUETIME_JWT_FILE", "DUETIME_LISTEN"),
        *("DUETIME_REDIS_PREFIX", "DUETIME_REDIS_URL"),
        *("DUETIME_CALL_RATE", "DUETIME_MAX_CALLS", "DUETIME_MAX_WATCHES"),
    }
)
"""The settings of the servers and the migrations. A test compares them with the servers' settings."""
_SERVER = frozenset(
    {"DUETIME_APPLICATION_ROLE", "DUETIME_CRASH_POINT", "DUETIME_TASK_RETENTION", "SSL_CERT_DIR", "SSL_CERT_FILE"}
)


def is_basic(name: str) -> bool:
    """Returns whether every program gets this variable: PostgreSQL, Valkey and Envoy get no others."""
    return name in _BASIC or name.startswith("LC_")


def is_for_python(name: str) -> bool:
    """Returns whether Python programs get this variable: the mailbox gets no others."""
    return is_basic(name) or name == "VIRTUAL_ENV" or name.startswith("PYTHON")


def is_for_servers(name: str) -> bool:
    """Returns whether servers and the migrations get this variable; those of libpq and gRPC are included."""
    return is_for_python(name) or name in SERVER_SETTINGS | _SERVER or name.startswith(("PG", "GRPC_"))


def is_for_workers(name: str) -> bool:
    """Returns True: workers get every variable."""
    return True
