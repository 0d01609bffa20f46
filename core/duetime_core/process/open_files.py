"""The limit of open files: each connection is one, and the usual limit is 1,024."""

import resource

_WANTED = 65_536


def raise_limit() -> None:
    """Allows this process, and those that it starts, 65,536 open files, or as many as the system lets it have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _WANTED if hard == resource.RLIM_INFINITY else min(_WANTED, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
