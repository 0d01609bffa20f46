"""The edge: Envoy's configuration and process."""

import contextlib
import http.client
import importlib.resources
import pathlib
import ssl
import sysconfig
from collections.abc import Iterable, Sequence
from typing import Any

import yaml

from duetime_stack import allowlist, environments, layout, ports, program, rates, replacement, tls

_ANSWERS = {http.HTTPStatus.OK, http.HTTPStatus.UNAUTHORIZED}


def authority(address: str, port: int) -> str:
    """Returns `address:port`, as URLs have it."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def url(address: str, port: int, *, is_encrypted: bool) -> str:
    """Returns its URL for callers."""
    return f"{'https' if is_encrypted else 'http'}://{authority(address, port)}"


def write_endpoints(paths: layout.Layout, servers: Sequence[str]) -> pathlib.Path:
    """Writes the file with the servers' addresses, and returns its path. A running Envoy reloads it at once."""
    path = paths.run / "endpoints.yaml"
    assignment = {
        "@type": "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
        "cluster_name": "duetime",
        "endpoints": [{"lb_endpoints": [{"endpoint": {"address": _listening(server)}} for server in servers]}],
    }
    replacement.write(path, yaml.safe_dump({"resources": [assignment]}))
    return path


def make_program(
    paths: layout.Layout,
    address: str,
    port: int,
    servers: Sequence[str],
    allowed: allowlist.Allowlist | None = None,
    certificate: tls.Certificate | None = None,
    limits: rates.Rates | None = None,
) -> program.Program:
    """Writes the configuration, and returns the program. It is ready once the API answers."""
    configuration = paths.run / "envoy.yaml"
    bootstrap = _configuration(
        address, port, write_endpoints(paths, servers), allowed or allowlist.Allowlist(), is_encrypted=bool(certificate)
    )
    if limits is not None:
        _limit(bootstrap, limits)
    if certificate is not None:
        _encrypt(bootstrap, certificate, paths.run / "certificate.yaml")
    configuration.write_text(yaml.safe_dump(bootstrap, sort_keys=False))
    return program.Program(
        "envoy",
        [
            str(pathlib.Path(sysconfig.get_path("scripts"), "envoy")),
            *("--config-path", str(configuration)),
            # Hot restart shares memory under a fixed id, which two stacks would have in common.
            "--disable-hot-restart",
            # Each thread has its own connections to every server, and two are faster than any Python server.
            *("--concurrency", "2"),
            *("--log-level", "warning"),
        ],
        lambda: _answers(_reachable(address), port, is_encrypted=bool(certificate)),
        inherits=environments.is_basic,
    )


def _configuration(
    address: str, port: int, endpoints: pathlib.Path, allowed: allowlist.Allowlist, *, is_encrypted: bool
) -> dict[str, Any]:
    """Returns envoy/envoy.yaml with this stack's address, paths and allowlist."""
    bootstrap: dict[str, Any] = yaml.safe_load(
        importlib.resources.files("duetime_stack").joinpath("envoy.yaml").read_text()
    )
    listener = bootstrap["static_resources"]["listeners"][0]
    listener["address"] = _address(address, port)
    (cluster,) = bootstrap["static_resources"]["clusters"]
    cluster["eds_cluster_config"]["eds_config"]["path_config_source"]["path"] = str(endpoints)
    (manager,) = listener["filter_chains"][0]["filters"]
    filters = _filters(manager)
    descriptors = importlib.resources.files("duetime.v1").joinpath("descriptor_set.binpb")
    filters["envoy.filters.http.grpc_json_transcoder"]["proto_descriptor"] = str(descriptors)
    scripts = importlib.resources.files("duetime_stack").joinpath("lua")
    code = filters["envoy.filters.http.lua"]["default_source_code"]
    code["inline_string"] = code["inline_string"].replace("./envoy/lua", str(scripts))
    _, api = manager["typed_config"]["route_config"]["virtual_hosts"]
    api["domains"] = allowed.served()
    api["typed_per_filter_config"]["envoy.filters.http.cors"]["allow_origin_string_match"] = [
        {"exact": origin} for origin in allowed.origins
    ]
    policies = filters["envoy.filters.http.rbac"]["rules"]["policies"]["cross-origin"]["permissions"]
    by_site, by_origin = (policy["and_rules"]["rules"] for policy in policies)
    by_origin[1] = _not_from([*allowed.own_origins(port, is_encrypted=is_encrypted), *allowed.origins])
    if allowed.origins:
        by_site.append(_not_from(allowed.origins))
    return bootstrap


def _filters(manager: dict[str, Any]) -> dict[str, Any]:
    return {each["name"]: each["typed_config"] for each in manager["typed_config"]["http_filters"]}


def _limit(bootstrap: dict[str, Any], limits: rates.Rates) -> None:
    (manager,) = bootstrap["static_resources"]["listeners"][0]["filter_chains"][0]["filters"]
    limiting = _filters(manager)["envoy.filters.http.local_ratelimit"]
    (each_address,) = limiting["descriptors"]
    for limited, rate in ((limiting, limits.total), (each_address, limits.of_address)):
        limited["token_bucket"] |= {"max_tokens": rates.BURST_SECONDS * rate, "tokens_per_fill": rate}


def _encrypt(bootstrap: dict[str, Any], certificate: tls.Certificate, resources: pathlib.Path) -> None:
    replacement.write(resources, yaml.safe_dump({"resources": [tls.resource(certificate)]}))
    (chain,) = bootstrap["static_resources"]["listeners"][0]["filter_chains"]
    chain["transport_socket"] = tls.transport_socket(resources)


def _not_from(origins: Iterable[str]) -> dict[str, Any]:
    rules = [{"header": {"name": "origin", "string_match": {"exact": origin}}} for origin in origins]
    return {"not_rule": {"or_rules": {"rules": rules}}}


def _address(address: str, port: int) -> dict[str, dict[str, str | int]]:
    return {"socket_address": {"address": address, "port_value": port}}


def _listening(server: str) -> dict[str, Any]:
    """Returns Envoy's form of `unix:/path` or `host:port`."""
    if server.startswith("unix:"):
        return {"pipe": {"path": server.removeprefix("unix:")}}
    host, _, port = server.rpartition(":")
    return _address(host.strip("[]"), int(port))


def _reachable(address: str) -> str:
    return {"0.0.0.0": ports.LOOPBACK, "::": "::1"}.get(address, address)  # noqa: S104 - compared, not bound


def _answers(address: str, port: int, *, is_encrypted: bool) -> bool:
    connection = http.client.HTTPConnection(address, port, timeout=5)
    if is_encrypted:
        # Not verified: its name need not be this address, and only whether it answers matters.
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        connection = http.client.HTTPSConnection(address, port, timeout=5, context=context)
    with contextlib.closing(connection), contextlib.suppress(OSError, http.client.HTTPException):
        # Both a whole request, which a server that demands keys refuses, and Envoy's own health state, which may lag
        # behind the server's.
        return _status(connection, "/api/tasks?page_size=1") in _ANSWERS and _status(connection, "/healthz") == 200
    return False


def _status(connection: http.client.HTTPConnection, path: str) -> int:
    connection.request("GET", path)
    response = connection.getresponse()
    response.read()
    return response.status
