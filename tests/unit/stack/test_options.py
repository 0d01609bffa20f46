"""Where a stack may listen: on addresses of other machines only with keys and encryption."""

import pathlib

import pytest
import trustme

from duetime_stack import errors, options, rates
from tests.support import certificates

KEYS = "leave out --open or DUETIME_AUTH=open"


def wanted(
    host: str,
    files: certificates.Files | None,
    *,
    demands_keys: bool,
    insecure_listen: bool = False,
    insecure_open: bool = False,
) -> options.Options:
    return options.Options(
        host=host,
        port=8080,
        hosts="",
        origins="",
        data_dir=pathlib.Path("unused"),
        tls_cert=files.chain if files else None,
        tls_key=files.key if files else None,
        demands_keys=demands_keys,
        insecure_listen=insecure_listen,
        insecure_open=insecure_open,
        servers=1,
        workers=1,
        database_url=None,
        redis_url=None,
        handlers="",
        queues="default",
        limits=rates.Rates(),
    )


@pytest.fixture
def files(tmp_path: pathlib.Path) -> certificates.Files:
    return certificates.files(tmp_path, trustme.CA())


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7"])
def test_other_machines_may_reach_an_address_with_keys_and_encryption(host: str, files: certificates.Files) -> None:
    listening = options.listening(wanted(host, files, demands_keys=True))
    assert (listening.address, listening.warning) == (host, "")
    assert listening.certificate is not None


@pytest.mark.parametrize(
    ("has_certificate", "demands_keys", "risk", "remedy", "flag"),
    [
        (False, False, "has full access", f"{KEYS}, and set --tls-cert and --tls-key", "open"),
        (True, False, "has full access", f"{KEYS}, or use 127.0.0.1", "open"),
        (False, True, "can read API keys and payloads", "set --tls-cert and --tls-key, or use 127.0.0.1", "listen"),
    ],
    ids=["neither", "a certificate alone", "keys alone"],
)
def test_what_is_missing_is_named_and_can_be_accepted(
    files: certificates.Files, has_certificate: bool, demands_keys: bool, risk: str, remedy: str, flag: str
) -> None:
    given = files if has_certificate else None
    with pytest.raises(errors.StackError) as refused:
        options.listening(wanted("0.0.0.0", given, demands_keys=demands_keys))
    for part in (
        "other machines can reach 0.0.0.0",
        risk,
        remedy,
        f"--insecure-{flag} or DUETIME_INSECURE_{flag.upper()}=1",
    ):
        assert part in str(refused.value)
    flags = {f"insecure_{flag}": True}
    accepted = options.listening(wanted("0.0.0.0", given, demands_keys=demands_keys, **flags))
    assert accepted.warning.startswith("other machines can reach 0.0.0.0, and ")
    assert risk in accepted.warning


@pytest.mark.parametrize("has_certificate", [False, True])
def test_who_accepts_calls_without_encryption_does_not_open_the_server(
    files: certificates.Files, has_certificate: bool
) -> None:
    given = files if has_certificate else None
    with pytest.raises(errors.StackError, match=r"--insecure-listen permits .* not without keys") as refused:
        options.listening(wanted("0.0.0.0", given, demands_keys=False, insecure_listen=True))
    assert f"{KEYS}, or use 127.0.0.1, or accept that with --insecure-open or DUETIME_INSECURE_OPEN=1" in str(
        refused.value
    )


def test_who_accepts_an_open_server_does_not_send_keys_without_encryption() -> None:
    with pytest.raises(errors.StackError, match="can read API keys and payloads"):
        options.listening(wanted("0.0.0.0", None, demands_keys=True, insecure_open=True))


def test_this_machine_alone_needs_no_certificate_and_is_warned_of_without_keys() -> None:
    assert options.listening(wanted("127.0.0.1", None, demands_keys=True)).warning == ""
    warning = options.listening(wanted("127.0.0.1", None, demands_keys=False)).warning
    assert "there is no authentication (--open or DUETIME_AUTH=open)" in warning


@pytest.mark.parametrize(
    ("is_open", "auth", "expected"),
    [(False, "", True), (False, "keys", True), (False, "open", False), (True, "", False), (True, "open", False)],
)
def test_keys_are_demanded_unless_the_flag_or_the_variable_says_open(is_open: bool, auth: str, expected: bool) -> None:
    assert options.demands_keys(is_open=is_open, auth=auth) == expected


@pytest.mark.parametrize("auth", ["Open", "none", "0", " open", "x" * 10_000])
def test_any_other_value_is_refused_and_not_taken_for_open(auth: str) -> None:
    with pytest.raises(errors.StackError, match="DUETIME_AUTH must be keys or open, not") as refused:
        options.demands_keys(is_open=False, auth=auth)
    assert len(str(refused.value)) < 200


def test_the_flag_and_the_variable_may_not_contradict_each_other() -> None:
    with pytest.raises(errors.StackError, match="--open and DUETIME_AUTH=keys contradict each other"):
        options.demands_keys(is_open=True, auth="keys")
