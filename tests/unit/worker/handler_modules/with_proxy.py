"""A user's module with a proxy object, like those of web frameworks, whose attributes must not be accessed."""

from duetime_worker import handler


class Proxy:
    """A proxy without a target."""

    def __getattr__(self, name: str) -> None:
        raise RuntimeError(f"nothing to get {name} from")


proxy = Proxy()


@handler("Look")
async def look() -> None:
    """Does nothing."""
