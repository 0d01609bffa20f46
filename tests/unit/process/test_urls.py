"""Addresses of the stores: which are taken, and that none is quoted with what may be a secret."""

import re
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
        "postgresql://h1:5432,S3cret:http/db",
    ],
)
def test_an_invalid_address_of_postgresql_is_refused_without_quoting_it(url: str) -> None:
    _is_refused_silently(urls.check_postgres, url, urls.POSTGRES_FORM)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("pasword=S3cret", "has a parameter after its ? that is not one of libpq's: did you mean password?"),
        ("S3cret=1", "has a parameter after its ? that is not one of libpq's, such as host, port"),
        ("sslmode=S3cret", "has an invalid sslmode: it must be one of disable, allow, prefer"),
        ("target_session_attrs=S3cret", "has an invalid target_session_attrs: it must be one of any, read-write"),
        ("connect_timeout=S3cret", "has an invalid connect_timeout: it must be a whole number, such as 5"),
        ("passfile=S3cret&passfile=b", "has the parameter passfile 2 times: give it once"),
    ],
)
def test_a_wrong_parameter_of_postgresql_is_refused_with_what_would_be_right(query: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)) as raised:
        urls.check_postgres(f"postgresql://h/db?{query}")
    assert SECRET not in "".join(traceback.format_exception(raised.value))


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://ada:S3c/r?et@h1:5432,h2:6432/db?sslmode=disable",
        "postgresql://ada:S3c/r?et@/db?host=h1:5432&host=h2:6432&sslmode=disable",
        "postgresql://ada:S3c/r?et@/db?host=h1,h2&port=5432,6432&sslmode=disable",
    ],
)
def test_each_way_to_name_several_hosts_of_postgresql_is_accepted(url: str) -> None:
    expected = {"user": "ada", "password": "S3c/r?et", "dbname": "db", "host": "h1,h2", "port": "5432,6432"}
    assert urls.postgres_arguments(url) == {**expected, "sslmode": "disable"}
    assert urls.postgres_arguments(urls.check_postgres(url)) == urls.postgres_arguments(url)
    assert SECRET not in urls.shown(urls.check_postgres(url))


def test_several_hosts_may_be_addresses_and_leave_out_ports() -> None:
    found = urls.postgres_arguments("postgresql://[::1],10.0.0.2:6432")
    assert (found["host"], found["port"]) == ("::1,10.0.0.2", "5432,6432")


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
    with pytest.raises(ValueError, match=r"^(must|has) ") as raised:
        check(url)
    assert str(raised.value) == form
    assert SECRET not in "".join(traceback.format_exception(raised.value))
