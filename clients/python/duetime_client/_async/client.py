"""The client: a method for each rpc."""

from __future__ import annotations

from duetime_client._async import audit, bulk, keys, queues, schedules, tasks


class AsyncClient(
    tasks.AsyncTasks,
    bulk.AsyncBulk,
    queues.AsyncQueues,
    schedules.AsyncSchedules,
    keys.AsyncKeys,
    audit.AsyncAudit,
):
    """A client of the server at `target`: `host:port` of Envoy, or of a server itself. It connects on first use. Close
    it, or use it in a `with` block. An asynchronous client belongs to the event loop that first uses it.

    `https://host`, with port 443 unless it has another, and `host:port` with `tls=True` are encrypted, and the server's
    certificate and its name are always verified. `ca` is a PEM file with the authorities to trust instead of the
    system's; by default it is that of `DUETIME_CA_FILE`, if that is set. A contradiction between `target`, `tls` and
    `ca` is a ValueError, and so is a file without valid certificates. It is read once.

    `api_key`, an API key or an access token, is sent with every call; by default it is that of `DUETIME_API_KEY`, or of
    the file that `DUETIME_API_KEY_FILE` names, if either is set. The file is read again when it changes, and a watch
    continues with the token that replaced an expired one. It is not sent unencrypted to another machine: that is a
    ValueError.

    `codec` encrypts the task_data of tasks and schedules, and decrypts it and results; methods that read them may raise
    DecryptionFailed. Without one they are sent and returned as they are.

    `timeout` is per call, including gRPC's own retries. Every method may raise InvalidArgument (a ValueError), which is
    raised before anything is sent if a value cannot be sent, Unavailable or DeadlineExceeded if there is no response,
    and Unauthenticated or PermissionDenied if the server requires an API key. TlsFailed is an Unavailable for which a
    retry does not help: the certificate is refused, or the server does not use TLS. "Fails with" in a method's
    docstring names its other errors, all of them in `duetime_client.errors`.
    """
