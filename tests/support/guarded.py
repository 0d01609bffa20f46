"""Calls to the real services behind the interceptors of access, with tokens of the test."""

import dataclasses
from typing import Any

import grpc.aio
from google.protobuf import message_factory

from tests.support import fields, principals


@dataclasses.dataclass
class Guarded:
    """A server that requires a token, and a channel to it."""

    channel: grpc.aio.Channel
    tokens: principals.Tokens
    address: str

    async def call(self, method: str, request: Any = None, *, token: str = "admin", **values: Any) -> Any:
        """Returns the response of an rpc. Raises AioRpcError."""
        calling = self.channel.unary_unary(_path(method), **_serializers(method))
        return await calling(_request(method, request, values), metadata=_bearer(token))

    def watch(self, method: str, *, token: str = "admin", **values: Any) -> Any:
        """Returns the stream of a watch."""
        calling = self.channel.unary_stream(_path(method), **_serializers(method))
        return calling(_request(method, None, values), metadata=_bearer(token))


def _request(method: str, request: Any, values: dict[str, Any]) -> Any:
    return message_factory.GetMessageClass(fields.METHODS[method].input_type)(**values) if request is None else request


def _path(method: str) -> str:
    return f"/{fields.METHODS[method].containing_service.full_name}/{method}"


def _serializers(method: str) -> dict[str, Any]:
    response = message_factory.GetMessageClass(fields.METHODS[method].output_type)
    return {
        "request_serializer": lambda message: message.SerializeToString(),
        "response_deserializer": response.FromString,
    }


def _bearer(token: str) -> list[tuple[str, str]]:
    return [("authorization", f"Bearer {token}")]
