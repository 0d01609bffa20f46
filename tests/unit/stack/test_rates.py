"""The rates of the edge, in Envoy's configuration."""

import base64
import importlib.resources
import pathlib
from typing import Any

import yaml
from google.protobuf import any_pb2, message
from google.rpc import error_details_pb2, status_pb2

from duetime_stack import edge, layout, rates


def manager(bootstrap: dict[str, Any]) -> dict[str, Any]:
    (found,) = bootstrap["static_resources"]["listeners"][0]["filter_chains"][0]["filters"]
    of: dict[str, Any] = found["typed_config"]
    return of


def limiting(bootstrap: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns the buckets of all addresses together and of each."""
    filters = {each["name"]: each["typed_config"] for each in manager(bootstrap)["http_filters"]}
    limit = filters["envoy.filters.http.local_ratelimit"]
    (each_address,) = limit["descriptors"]
    return limit["token_bucket"], each_address["token_bucket"]


def shipped() -> dict[str, Any]:
    """Returns the configuration that is run without `duetime up`."""
    bootstrap: dict[str, Any] = yaml.safe_load(
        importlib.resources.files("duetime_stack").joinpath("envoy.yaml").read_text()
    )
    return bootstrap


def bucket(rate: int) -> dict[str, Any]:
    return {"max_tokens": rates.BURST_SECONDS * rate, "tokens_per_fill": rate, "fill_interval": "1s"}


def test_the_configuration_has_the_defaults() -> None:
    assert limiting(shipped()) == (bucket(rates.TOTAL), bucket(rates.OF_ADDRESS))


def test_a_stack_has_the_rates_that_were_chosen(tmp_path: pathlib.Path) -> None:
    paths = layout.Layout(tmp_path)
    paths.create()
    edge.make_program(paths, "127.0.0.1", 8080, ["127.0.0.1:1"], limits=rates.Rates(of_address=7, total=rates.MOST))
    written = yaml.safe_load((paths.run / "envoy.yaml").read_text())
    assert limiting(written) == (bucket(1_000_000), bucket(7))
    assert 2 * rates.MOST < 2**32


def test_grpc_callers_get_the_same_error_as_rest_callers() -> None:
    mappers = manager(shipped())["local_reply_config"]["mappers"]
    (over_grpc,) = (
        each
        for each in mappers
        for added in each.get("headers_to_add", ())
        if added["header"]["key"] == "grpc-status-details-bin"
    )
    (over_rest,) = (
        each["body_format_override"]["json_format"]
        for each in mappers
        if each.get("body_format_override", {}).get("json_format", {}).get("code") == 8
    )
    encoded = over_grpc["headers_to_add"][0]["header"]["value"]
    status = status_pb2.Status.FromString(base64.b64decode(encoded + "=" * (-len(encoded) % 4)))
    info = error_details_pb2.ErrorInfo(reason="CALL_RATE_EXCEEDED", domain="duetime")
    retry = error_details_pb2.RetryInfo()
    retry.retry_delay.FromSeconds(1)
    expected = status_pb2.Status(code=8, message=over_grpc["body"]["inline_string"])
    details: list[message.Message] = [info, retry]
    for detail in details:
        packed = any_pb2.Any()
        packed.Pack(detail)
        expected.details.append(packed)
    assert status == expected
    assert over_rest["message"] == status.message
    assert [each["@type"] for each in over_rest["details"]] == [each.type_url for each in status.details]
    assert over_rest["details"][0]["reason"] == info.reason
    assert over_rest["details"][1]["retry_delay"] == "1s"
