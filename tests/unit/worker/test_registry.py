import pytest

from duetime_worker import registry

BUILT_IN = {"Send Email", "Call Webhook", "Generate Report"}


def test_every_worker_has_the_built_in_handlers() -> None:
    assert registry.load([]).keys() == BUILT_IN


def test_a_users_handler_overrides_a_built_in_one() -> None:
    found = registry.load(["tests.unit.worker.handler_modules.own_email"])
    assert found["Send Email"].function.__module__ == "tests.unit.worker.handler_modules.own_email"


def test_a_handler_that_is_imported_into_another_module_counts_once() -> None:
    modules = ["tests.unit.worker.handler_modules.own_email", "tests.unit.worker.handler_modules.imports_own_email"]
    assert registry.load(modules).keys() == BUILT_IN


def test_two_handlers_with_the_same_name_are_refused_naming_both() -> None:
    modules = ["tests.unit.worker.handler_modules.own_email", "tests.unit.worker.handler_modules.second_email"]
    with pytest.raises(ValueError, match=r"own_email\.send.* and .*second_email\.send_too"):
        registry.load(modules)


def test_a_missing_module_is_an_import_error() -> None:
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        registry.load(["no_such_module"])


def test_an_error_of_an_import_is_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        registry.load(["tests.unit.worker.handler_modules.broken"])


def test_a_users_handler_may_call_the_built_in_one_that_it_overrides() -> None:
    found = registry.load(["tests.unit.worker.handler_modules.wraps_email"])
    assert found["Send Email"].function.__module__ == "tests.unit.worker.handler_modules.wraps_email"


def test_other_objects_in_a_module_are_not_touched() -> None:
    assert "Look" in registry.load(["tests.unit.worker.handler_modules.with_proxy"])
