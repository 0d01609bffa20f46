"""Authenticates callers by API keys and by access tokens."""

from duetime_core.model import access
from duetime_server.access import keys, tokens


class BearerAuthenticator:
    """Knows the principals of both. Without issuers, what looks like a token is refused as an unknown key is."""

    def __init__(self, of_keys: keys.KeyAuthenticator, of_tokens: tokens.TokenAuthenticator) -> None:
        self._of_keys = of_keys
        self._of_tokens = of_tokens

    async def authenticate(self, token: str) -> access.Principal:
        """Returns who calls with that. Raises what either of them does."""
        if self._of_tokens.signing_keys and tokens.is_token(token):
            return await self._of_tokens.authenticate(token)
        return await self._of_keys.authenticate(token)

    def came_from(self, principal: access.Principal, address: str) -> None:
        """Notes from where an API key was used."""
        if principal.key_id:
            self._of_keys.came_from(principal, address)
