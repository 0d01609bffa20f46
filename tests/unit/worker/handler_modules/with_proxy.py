"""A user's module with an object that must not be asked for anything yet, as proxies of web frameworks are."""

from duetime_worker import handler


class Proxy:
    """Stands for something that is not there."""

    def __getattr__(self, name: str) -> None:
        raise RuntimeError(f"nothing to get {name} from")


proxy = Proxy()


@handler("Look")
async def look() -> None:
    """Does nothing."""
