"""What tokens cost that anyone can send."""

import pathlib
import time

import pytest

from duetime_core.model import errors
from duetime_server.access import issuers, tokens
from tests.support import issuers as made


async def test_a_large_forged_token_costs_about_as_much_as_a_small_one(tmp_path: pathlib.Path) -> None:
    issuer = made.Issuer()
    path = made.write_file(tmp_path, issuer.url, keys_file=str(issuer.write_keys(tmp_path)))
    authenticator = tokens.TokenAuthenticator(issuers.read(str(path)))

    async def seconds(token: str) -> float:
        signed, _, signature = token.rpartition(".")
        forged = f"{signed}.{'B' if signature[0] != 'B' else 'C'}{signature[1:]}"
        began = time.process_time()
        for _ in range(200):
            with pytest.raises(errors.CredentialsInvalid):
                await authenticator.authenticate(forged)
        return time.process_time() - began

    small, large = issuer.token(), issuer.token(padding="x" * 5_500)
    assert len(large) > 7_500
    await authenticator.authenticate(large)  # it is accepted but for its signature
    assert await seconds(large) < 2.5 * await seconds(small)
