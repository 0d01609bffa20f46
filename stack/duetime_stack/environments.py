"""Which variables of the environment each program gets: its own, so that no other may give away what is in one.

Workers get all of them, because handlers need theirs, whatever they are called.
"""

_BASIC = frozenset(
    {"HOME", "LANG", "LANGUAGE", "LD_LIBRARY_PATH", "LOGNAME", "PATH", "SHELL", "TERM", "TMPDIR", "TZ", "TZDIR", "USER"}
)
SERVER_SETTINGS = frozenset({"DUETIME_DATABASE_URL", "DUETIME_REDIS_URL", "DUETIME_LISTEN"})
"""What servers, and the migrations, are told by. A test holds it to the server's settings."""
_SERVER = frozenset({"DUETIME_APPLICATION_ROLE", "DUETIME_CRASH_POINT", "SSL_CERT_DIR", "SSL_CERT_FILE"})


def is_basic(name: str) -> bool:
    """Tells whether any program needs this variable: PostgreSQL, Valkey and Envoy get nothing else."""
    return name in _BASIC or name.startswith("LC_")


def is_for_python(name: str) -> bool:
    """Tells whether a Python program of the stack needs this variable: the mailbox gets nothing else."""
    return is_basic(name) or name == "VIRTUAL_ENV" or name.startswith("PYTHON")


def is_for_servers(name: str) -> bool:
    """Tells whether servers and the migrations need this variable; those of libpq and gRPC are among them."""
    return is_for_python(name) or name in SERVER_SETTINGS | _SERVER or name.startswith(("PG", "GRPC_"))


def is_for_workers(name: str) -> bool:
    """Tells that workers get every variable."""
    return True
