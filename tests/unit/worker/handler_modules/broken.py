"""A user's module that fails to import."""

1 / 0  # noqa: B018
