"""The server's settings."""

from duetime_core import settings


class Settings(settings.Settings):
    """What a server needs to know besides."""

    listen: str = "127.0.0.1:50051"
    """The address that gRPC is served on: `host:port`. There is no authentication: keep it on loopback."""
