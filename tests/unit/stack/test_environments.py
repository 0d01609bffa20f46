"""The environment variables that each program of a stack gets."""

import pytest

from duetime_core import migrate
from duetime_server import settings
from duetime_stack import environments

SECRETS = [
    *("DUETIME_SMTP_PASSWORD", "DUETIME_SMTP_USERNAME", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "GITHUB_TOKEN"),
    *("HTTPS_PROXY", "https_proxy", "SSH_AUTH_SOCK", "KUBECONFIG", "MY_API_KEY", "SMTP_PASSWORD", "NPM_TOKEN"),
]


def test_servers_get_their_settings_and_no_other_secrets() -> None:
    own = {f"DUETIME_{name.upper()}" for name in settings.Settings.model_fields}
    assert own == environments.SERVER_SETTINGS
    assert all(environments.is_for_servers(name) for name in own)
    assert not [name for name in SECRETS if environments.is_for_servers(name)]


def test_migrations_get_their_settings() -> None:
    for name in migrate.Settings.model_fields:
        assert environments.is_for_servers(f"DUETIME_{name.upper()}")


@pytest.mark.parametrize("gets", [environments.is_basic, environments.is_for_python])
def test_other_programs_get_no_setting_of_duetime(gets: object) -> None:
    assert callable(gets)
    assert not [name for name in (*SECRETS, *environments.SERVER_SETTINGS, "PGPASSWORD") if gets(name)]
    assert all(gets(name) for name in ("PATH", "TZ", "LC_ALL"))


def test_workers_get_every_variable() -> None:
    assert all(environments.is_for_workers(name) for name in SECRETS)
