"""Each built-in handler of the worker matches its spec in core."""

import subprocess
import sys

from duetime_core.model import builtin
from duetime_worker import registry


def test_each_built_in_handler_has_a_spec() -> None:
    assert registry.load([]).keys() == builtin.SPECS.keys()


def test_the_built_in_handlers_take_the_models_and_timeouts_of_their_specs() -> None:
    for name, handler in registry.load([]).items():
        spec = builtin.SPECS[name]
        assert spec.model in handler.parameters.values()
        assert (handler.timeout, handler.max_timeout) == (spec.timeout, spec.max_timeout)


def test_knowing_the_built_in_handlers_loads_nothing_that_only_running_them_needs() -> None:
    loaded = subprocess.run(
        [sys.executable, "-c", "import sys, duetime_core.model.builtin; print(*sys.modules)"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    assert not {"httpx", "aiosmtplib", "matplotlib", "jinja2", "fsspec", "dns", "google"} & set(loaded)
