"""Generates the Python code and Envoy's descriptor set from the protobuf definitions.

Usage: generate.py [DIRECTORY]; writes below `proto/`, or below DIRECTORY (the freshness test does that).
"""

import pathlib
import sys

import grpc_tools
from google.api import annotations_pb2
from grpc_tools import protoc

SOURCE = pathlib.Path(__file__).parent

_INCLUDE = [
    f"-I{SOURCE}",
    f"-I{pathlib.Path(annotations_pb2.__file__).parents[2]}",
    f"-I{pathlib.Path(grpc_tools.__file__).parent / '_proto'}",
]
_PLUGINS = [
    f"--plugin=protoc-gen-{name}={pathlib.Path(sys.executable).with_name(f'protoc-gen-{name}')}"
    for name in ("mypy", "mypy_grpc")
]
_DEFINITIONS = sorted(path.relative_to(SOURCE).as_posix() for path in SOURCE.glob("duetime/**/*.proto"))


def generate(target: pathlib.Path) -> None:
    """Writes all generated files below `target`; exits with protoc's own message if it fails."""
    outputs = (f"--{kind}_out={target}" for kind in ("python", "grpc_python", "mypy", "mypy_grpc"))
    _protoc(*_PLUGINS, *outputs, *_DEFINITIONS)
    _protoc(
        "--include_imports",
        f"--descriptor_set_out={target / 'duetime/v1/descriptor_set.binpb'}",
        *_DEFINITIONS,
        # So that Envoy can print the details of errors.
        "google/rpc/error_details.proto",
    )
    for path in target.glob("duetime/**/*_pb2_grpc.py"):
        if "class " not in path.read_text():  # a file without a service has nothing to say
            path.unlink()
            path.with_suffix(".pyi").unlink(missing_ok=True)


def describe(image: pathlib.Path) -> None:
    """Writes the definitions with their comments, as buf reads them, into the file `image`."""
    _protoc("--include_imports", "--include_source_info", f"--descriptor_set_out={image}", *_DEFINITIONS)


def _protoc(*arguments: str) -> None:
    if protoc.main(["protoc", *_INCLUDE, *arguments]) != 0:
        sys.exit(1)


if __name__ == "__main__":
    generate(pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else SOURCE)
