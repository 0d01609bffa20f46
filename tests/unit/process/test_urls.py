"""Addresses of the stores: which are taken, and that none is quoted with what may be a secret."""

import traceback

import pytest

from duetime_core.process import urls

SECRET = "S3cret"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://ada@h:5/db", "postgresql://ada@h:5/db"),
        ("postgresql://ada:S3cret@h/db", "postgresql://ada:***@h/db"),
        ("postgresql://ada:S3c/r#e?tS3cret@h/db", "postgresql://ada:***@h/db"),
        ("postgresql://h/db?password=S3cret&sslpassword=S3cret", "postgresql://h/db?password=***&sslpassword=***"),
        ("postgresql://h/db?password=a@S3cret", "postgresql://h/db?password=***"),
        ("postgresql://[::1]:5/db?sslmode=require", "postgresql://[::1]:5/db?sslmode=require"),
        ("postgresql://ada@/db?host=/run/x&passfile=/a b", "postgresql://ada@/db?host=/run/x&passfile=/a%20b"),
    ],
)
def test_an_address_of_postgresql_is_shown_without_secrets(url: str, shown: str) -> None:
    assert urls.check_postgres(url) == url
    assert urls.shown(url) == shown
    assert urls.has_secret(url) is ("***" in shown)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://h:1/2", "redis://h:1/2"),
        ("redis://:S3cret@h:1/0", "redis://:***@h:1/0"),
        ("redis://ada:S3cret@h", "redis://:***@h"),
        ("redis://S3cret@h", "redis://:***@h"),
        ("redis://:p@S3cret@h", "redis://:***@h"),
        ("rediss://:S3cret@h/0?ssl_cert_reqs=none", "rediss://:***@h/0?ssl_cert_reqs=none"),
        ("redis://h?password=S3cret", "redis://h?password=***"),
        ("unix:///run/x.sock?db=1&password=S3cret", "unix:///run/x.sock?db=1&password=***"),
    ],
)
def test_an_address_of_redis_is_shown_without_secrets(url: str, shown: str) -> None:
    assert urls.check_redis(url) == url
    assert urls.shown(url) == shown
    assert urls.has_secret(url) is ("***" in shown)


@pytest.mark.parametrize(
    "url",
    [
        "",
        SECRET,
        "host=h password=S3cret",
        "mysql://ada:S3cret@h/db",
        "postgresql://ada:pa@S3cret@h/db",
        "postgresql://ada:S3cret@h:http/db",
        "postgresql://ada:S3cret@h:99999/db",
        "postgresql://ada:S3cret@h:0/db",
        "postgresql://h/db?pasword=S3cret",
    ],
)
def test_an_invalid_address_of_postgresql_is_refused_without_quoting_it(url: str) -> None:
    _is_refused_silently(urls.check_postgres, url, urls.POSTGRES_FORM)


@pytest.mark.parametrize(
    "url",
    [
        "",
        SECRET,
        "redis://:S3cret/et@h:1/0",
        "redis://:S3cret?et@h/0",
        "redis://:S3cret#et@h/0",
        "redis://ada:123/S3cret@h/0",
        "redis://:S3cret@h:http",
        "redis://:S3cret@h:99999",
        "redis://:S3cret@h/first",
        "redis://h?pasword=S3cret",
        "rediss://h?ssl_cert_reqs=S3cret",
        "redis://[S3cret",
        "unix://S3cret",
    ],
)
def test_an_invalid_address_of_redis_is_refused_without_quoting_it(url: str) -> None:
    _is_refused_silently(urls.check_redis, url, urls.REDIS_FORM)


@pytest.mark.parametrize(
    "url",
    [
        "redis+sentinel://:S3cret@h/0",
        "sentinel://:S3cret@h:26379/primary/0",
        "redis://h1,h2",
        "redis://:S3cret@h1:6379,h2:6379/0",
        "rediss+sentinel://:S3cret@h1:26379,h2:26379/0",
    ],
)
def test_an_address_of_several_redis_is_refused_with_what_to_name_instead(url: str) -> None:
    _is_refused_silently(urls.check_redis, url, urls.ONE_REDIS)


def _is_refused_silently(check: object, url: str, form: str) -> None:
    assert callable(check)
    with pytest.raises(ValueError, match=r"^must ") as raised:
        check(url)
    assert str(raised.value) == form
    assert SECRET not in "".join(traceback.format_exception(raised.value))
