"""A worker's settings, from the environment."""

import datetime
import os

import pydantic
import pytest

from duetime_worker import settings


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("DUETIME_"):
            monkeypatch.delenv(name)


def test_a_worker_needs_no_settings() -> None:
    read = settings.Settings.read()
    assert (read.handlers, read.queues) == ([], ["default"])
    assert (read.concurrency, read.threads) == (1_000, 100)
    assert (read.lease, read.grace_period) == (datetime.timedelta(seconds=15), datetime.timedelta(seconds=20))


def test_names_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DUETIME_HANDLERS", "mails, orders.handlers ,")
    monkeypatch.setenv("DUETIME_QUEUES", "urgent,default")
    read = settings.Settings.read()
    assert (read.handlers, read.queues) == (["mails", "orders.handlers"], ["urgent", "default"])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CONCURRENCY", "0"),
        ("THREADS", "0"),
        ("LEASE", "PT0.5S"),
        ("GRACE_PERIOD", "soon"),
        ("TASK_RETENTION", "PT30S"),
        ("LOG_RETENTION", "P200Y"),
    ],
)
def test_an_invalid_setting_ends_the_worker_naming_the_variable(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"DUETIME_{name}", value)
    with pytest.raises(SystemExit, match=f"^DUETIME_{name}: "):
        settings.Settings.read()


def test_retention_can_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    read = settings.Settings.read()
    assert (read.task_retention.days, read.log_retention.days) == (30, 90)
    monkeypatch.setenv("DUETIME_TASK_RETENTION", "P1D")
    monkeypatch.setenv("DUETIME_LOG_RETENTION", "PT48H")
    read = settings.Settings.read()
    assert (read.task_retention.days, read.log_retention.days) == (1, 2)


def test_the_log_is_kept_at_least_as_long_as_the_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DUETIME_TASK_RETENTION", "P91D")
    with pytest.raises(SystemExit, match=r"^DUETIME_LOG_RETENTION: .*shorter than DUETIME_TASK_RETENTION.*91 days"):
        settings.Settings.read()
    monkeypatch.setenv("DUETIME_LOG_RETENTION", "P91D")
    assert settings.Settings.read().log_retention.days == 91


def test_mail_goes_to_this_machine_by_default() -> None:
    smtp = settings.Smtp()
    assert (smtp.host, smtp.port, smtp.tls, smtp.username) == ("127.0.0.1", None, "none", None)
    assert smtp.sender == "duetime@localhost"


def test_an_empty_variable_means_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PORT", "TLS", "USERNAME", "PASSWORD", "SENDER"):
        monkeypatch.setenv(f"DUETIME_SMTP_{name}", "")
    assert settings.Smtp() == settings.Smtp.model_construct()


def test_a_password_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DUETIME_SMTP_PASSWORD", "secret")
    assert "secret" not in repr(settings.Smtp())


@pytest.mark.parametrize("sender", ["d@localhost", "Duetime <d@example.com>", '"Duetime, Ä" <d@example.com>'])
def test_a_sender_is_an_address_with_or_without_a_name(monkeypatch: pytest.MonkeyPatch, sender: str) -> None:
    monkeypatch.setenv("DUETIME_SMTP_SENDER", sender)
    assert settings.Smtp().sender == sender


@pytest.mark.parametrize(
    "sender", ["duetime", "a@b, c@d", "ü@b", "<a@b", "a@b>", "a@", "a b@c", "a@b\nBcc: c@d", "A\n <b@c>"]
)
def test_an_invalid_sender_is_refused(monkeypatch: pytest.MonkeyPatch, sender: str) -> None:
    monkeypatch.setenv("DUETIME_SMTP_SENDER", sender)
    with pytest.raises(pydantic.ValidationError, match="must be an email address, such as"):
        settings.Smtp()
