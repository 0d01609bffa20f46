"""A user's module with a mistake."""

1 / 0  # noqa: B018
