"""The edge: Envoy's configuration and process."""

import contextlib
import http.client
import importlib.resources
import pathlib
import sysconfig
from collections.abc import Iterable, Sequence
from typing import Any

import yaml

from duetime_stack import allowlist, environments, layout, ports, program


def url(address: str, port: int) -> str:
    """Returns its URL for callers."""
    return f"http://[{address}]:{port}" if ":" in address else f"http://{address}:{port}"


def write_endpoints(paths: layout.Layout, servers: Sequence[str]) -> pathlib.Path:
    """Writes the file with the servers' addresses, and returns its path. A running Envoy reloads it at once."""
    path = paths.run / "endpoints.yaml"
    draft = path.with_suffix(".new")
    draft.write_text(
        yaml.safe_dump(
            {
                "resources": [
                    {
                        "@type": "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
                        "cluster_name": "duetime",
                        "endpoints": [
                            {"lb_endpoints": [{"endpoint": {"address": _listening(server)}} for server in servers]}
                        ],
                    }
                ]
            }
        )
    )
    # Envoy reloads the file only when it is replaced by a rename.
    draft.rename(path)
    return path


def make_program(
    paths: layout.Layout,
    address: str,
    port: int,
    servers: Sequence[str],
    allowed: allowlist.Allowlist | None = None,
) -> program.Program:
    """Writes the configuration, and returns the program. It is ready once the API answers."""
    configuration = paths.run / "envoy.yaml"
    configuration.write_text(
        _configuration(address, port, write_endpoints(paths, servers), allowed or allowlist.Allowlist())
    )
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
        lambda: _answers(_reachable(address), port),
        inherits=environments.is_basic,
    )


def _configuration(address: str, port: int, endpoints: pathlib.Path, allowed: allowlist.Allowlist) -> str:
    """Returns envoy/envoy.yaml with this stack's address, paths and allowlist."""
    bootstrap = yaml.safe_load(importlib.resources.files("duetime_stack").joinpath("envoy.yaml").read_text())
    listener = bootstrap["static_resources"]["listeners"][0]
    listener["address"] = _address(address, port)
    (cluster,) = bootstrap["static_resources"]["clusters"]
    cluster["eds_cluster_config"]["eds_config"]["path_config_source"]["path"] = str(endpoints)
    (manager,) = listener["filter_chains"][0]["filters"]
    filters = {each["name"]: each["typed_config"] for each in manager["typed_config"]["http_filters"]}
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
    by_origin[1] = _not_from([*allowed.own_origins(port), *allowed.origins])
    if allowed.origins:
        by_site.append(_not_from(allowed.origins))
    return yaml.safe_dump(bootstrap, sort_keys=False)


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


def _answers(address: str, port: int) -> bool:
    # Both a whole request, and Envoy's own health state, which may lag behind the server's.
    return all(_is_ok(address, port, path) for path in ("/api/tasks?page_size=1", "/healthz"))


def _is_ok(address: str, port: int, path: str) -> bool:
    connection = http.client.HTTPConnection(address, port, timeout=5)
    with contextlib.closing(connection), contextlib.suppress(OSError, http.client.HTTPException):
        connection.request("GET", path)
        return connection.getresponse().status == http.HTTPStatus.OK
    return False
