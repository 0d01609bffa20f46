"""supervisord's configuration file."""

import configparser
import pathlib
import shlex
from collections.abc import Collection, Mapping, Sequence

from duetime_stack import layout, program

# Effectively unlimited: supervisord waits one second longer before each retry.
_RETRIES = 10**9


def write(
    path: pathlib.Path,
    socket: pathlib.Path,
    paths: layout.Layout,
    stages: Sequence[Sequence[program.Program]],
    names: Collection[str],
) -> None:
    """Writes a configuration that starts nothing automatically, and stops the stages in reverse order.

    The programs of a stage stop together. `names` are the variables of supervisord's environment; each program gets its
    own subset.
    """
    parser = configparser.RawConfigParser()
    parser.read_dict(
        {
            "unix_http_server": {"file": _escape(socket), "chmod": "0700"},
            "rpcinterface:supervisor": {
                "supervisor.rpcinterface_factory": "supervisor.rpcinterface:make_main_rpcinterface"
            },
            "supervisord": {
                "nodaemon": "true",
                "silent": "true",
                "umask": "077",
                "logfile": _escape(paths.log("supervisord")),
                # Not rotated, because `supervisord_log` reads it; it starts empty and grows by a line per event.
                "logfile_maxbytes": "0",
                "pidfile": _escape(paths.run / "supervisord.pid"),
                "nocleanup": "true",
            },
        }
    )
    for number, stage in enumerate(stages):
        for each in stage:
            parser[f"program:{each.name}"] = _program(each, paths.log(each.name), names)
        parser[f"group:{group(number)}"] = {
            "programs": ",".join(each.name for each in stage),
            "priority": str(number),
        }
    with path.open("w") as file:
        parser.write(file)


def group(stage_number: int) -> str:
    """Returns supervisord's name for a stage."""
    return f"stage-{stage_number}"


def _program(each: program.Program, log: pathlib.Path, names: Collection[str]) -> Mapping[str, str]:
    without = [name for name in names if not each.inherits(name)]
    options = {
        "command": _escape(shlex.join(program.bound_to_parent(each.command, each.orphan_signal, without=without))),
        "environment": ",".join(f'{name}="{_escape(value)}"' for name, value in each.environment.items()),
        "autostart": "false",
        "autorestart": "true",
        # A process that exits earlier is restarted after a delay, longer each time.
        "startsecs": "5",
        "startretries": str(_RETRIES),
        "stopsignal": each.stop_signal,
        "stopwaitsecs": str(each.stop_seconds),
        "killasgroup": "true",
        "redirect_stderr": "true",
        # supervisord expands this value twice.
        "stdout_logfile": _escape(_escape(log)),
        "stdout_logfile_maxbytes": "10MB",
        "stdout_logfile_backups": "3",
    }
    if each.directory is not None:
        options["directory"] = _escape(each.directory)
    return options


def _escape(value: object) -> str:
    # supervisord expands %(name)s in every value.
    return str(value).replace("%", "%%")
