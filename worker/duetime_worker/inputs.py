"""What a handler receives in place of the stored task_data: decrypted, and with secrets in place of references."""

import dataclasses
import functools
from collections.abc import Iterator
from typing import Any

import duetime_payloads
from duetime_core.model import payload, secret
from duetime_worker import handlers, redaction, secret_store

_MIN_CHARACTERS = 4
"""Of an encrypted value that errors do not show. Shorter ones are in any text by chance."""
MAX_CHARACTERS = 4_096
"""Of the encrypted values of one task that are looked for in its texts: each takes about 1 KB of memory, and 10 µs."""
_LABEL = "[encrypted]"
_MAX_REDACTORS = 16
"""How many sets of secrets are remembered."""


@dataclasses.dataclass(frozen=True, slots=True)
class Input:
    """A handler's task_data."""

    task_data: dict[str, Any]
    hidden: redaction.Hidden
    """What must not be seen of it."""


class Inputs:
    """Reads task_data that is not as handlers receive it, and encrypts the results of such tasks."""

    def __init__(
        self,
        secrets: secret_store.SecretStore | None = None,
        codec: duetime_payloads.PayloadCodec | None = None,
    ) -> None:
        self._secrets = secrets or secret_store.SecretStore()
        self._codec = codec
        # A thousand runs with the same secrets share one: for a long secret it takes MB.
        self._redactor = functools.lru_cache(maxsize=_MAX_REDACTORS)(_prepared)

    def read(self, handler: str, task_data: dict[str, Any]) -> Input:
        """Returns what the handler receives. Reads files: call it in a thread.

        Raises Fail for task_data that was not encrypted for this handler, and Retry if its key is not known here, or a
        file cannot be read; also what `SecretStore.resolve` raises.
        """
        plain = self._decrypted(handler, task_data) if duetime_payloads.is_encrypted(task_data) else task_data
        found: dict[str, str] = {}
        resolved = plain
        if secret.are_in(plain):
            resolved, found = self._secrets.resolve(handler, plain)
        secrets = [(value, f"[secret {name}]") for name, value in found.items()]
        results = self._redactor(tuple(secrets))
        return Input(resolved, redaction.Hidden(self._texts(plain, task_data, secrets, results), results))

    @staticmethod
    def _texts(
        plain: dict[str, Any],
        task_data: dict[str, Any],
        secrets: list[tuple[str, str]],
        results: redaction.Redactor,
    ) -> redaction.Redactor | redaction.Withheld:
        if plain is task_data:
            return results
        encrypted = [(value, _LABEL) for value in _values(plain)]
        if sum(len(value) for value, _ in encrypted) > MAX_CHARACTERS:
            return redaction.Withheld(_LABEL)
        return redaction.Redactor([*secrets, *encrypted])

    def _decrypted(self, handler: str, task_data: dict[str, Any]) -> dict[str, Any]:
        if self._codec is None:
            # Retried, as for a key that is not known yet: another worker may have it.
            raise handlers.Retry("task_data is encrypted, and this worker has no DUETIME_PAYLOAD_KEYS_FILE")
        try:
            return self._codec.decrypt(task_data, kind=duetime_payloads.Kind.TASK_DATA, handler=handler)
        except duetime_payloads.UnknownKey as error:
            raise handlers.Retry(f"task_data cannot be decrypted: {error}: see DUETIME_PAYLOAD_KEYS_FILE") from None
        except duetime_payloads.DecryptionFailed as error:
            raise handlers.Fail(f"task_data cannot be decrypted: {error}") from None

    def encrypted(self, handler: str, result: dict[str, Any]) -> str:
        """Returns the result of a task with encrypted task_data, as JSON; raises PayloadError if it is too large."""
        assert self._codec is not None  # it has decrypted the task_data
        sealed = self._codec.encrypt(result, kind=duetime_payloads.Kind.RESULT, handler=handler)
        try:
            return payload.write(sealed)
        except payload.PayloadError:
            raise payload.PayloadError("", f"{payload.TOO_LARGE}, encrypted: about 191 KiB before") from None


def _prepared(secrets: tuple[tuple[str, str], ...]) -> redaction.Redactor:
    redactor = redaction.Redactor(secrets)
    redactor.prepare()  # in the thread that reads them, and not in the event loop: secrets may be long
    return redactor


def is_stored_otherwise(task_data: dict[str, Any]) -> bool:
    """Returns whether a handler receives something else than this."""
    return duetime_payloads.is_encrypted(task_data) or secret.are_in(task_data)


def _values(plain: object) -> Iterator[str]:
    """Yields the texts and numbers in a payload that are long enough to be recognized."""
    if isinstance(plain, dict):
        for member in plain.values():
            yield from _values(member)
    elif isinstance(plain, list):
        for member in plain:
            yield from _values(member)
    elif isinstance(plain, str | int | float) and not isinstance(plain, bool) and len(str(plain)) >= _MIN_CHARACTERS:
        yield str(plain)
