"""The server's settings."""

from typing import Annotated, Literal

import pydantic

from duetime_core.process import settings
from duetime_server import listening


class Settings(settings.Settings):
    """The settings of a server, besides those of every process."""

    listen: Annotated[str, pydantic.AfterValidator(listening.check)] = "127.0.0.1:50051"
    """Where gRPC is served: `host:port` or `unix:/path`. It is not encrypted: keep it on this machine."""
    auth: Literal["keys", "open"] = "open"
    """Whether callers need an API key. Without it, anyone who reaches the server may do everything."""
