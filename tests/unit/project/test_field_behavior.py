"""A field's comment and its google.api.field_behavior agree."""

import importlib.util
import pathlib
from collections.abc import Iterator
from typing import NamedTuple

import pytest
from google.api import field_behavior_pb2
from google.protobuf import descriptor_pb2

GENERATOR = pathlib.Path(__file__).parents[3] / "proto/generate.py"
WORDS = {
    "Required.": field_behavior_pb2.REQUIRED,
    "Output only.": field_behavior_pb2.OUTPUT_ONLY,
    "Immutable.": field_behavior_pb2.IMMUTABLE,
    "Identifier.": field_behavior_pb2.IDENTIFIER,
}
# Numbers of fields in FileDescriptorProto and DescriptorProto, of which the path of a comment is made.
_MESSAGES, _FIELDS, _NESTED = 4, 2, 3


class Field(NamedTuple):
    """A field of the contract."""

    name: str
    comment: str
    behavior: list[int]


@pytest.fixture(scope="module")
def fields(tmp_path_factory: pytest.TempPathFactory) -> list[Field]:
    """All fields of the contract."""
    spec = importlib.util.spec_from_file_location("generate", GENERATOR)
    assert spec is not None
    assert spec.loader is not None
    generator = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generator)
    image = tmp_path_factory.mktemp("contract") / "image.binpb"
    generator.describe(image)
    files = descriptor_pb2.FileDescriptorSet.FromString(image.read_bytes()).file
    return [field for file in files if file.package == "duetime.v1" for field in _in_file(file)]


def _in_file(file: descriptor_pb2.FileDescriptorProto) -> Iterator[Field]:
    comments = {tuple(each.path): each.leading_comments for each in file.source_code_info.location}
    for number, message in enumerate(file.message_type):
        yield from _in_message(message, message.name, (_MESSAGES, number), comments)


def _in_message(
    message: descriptor_pb2.DescriptorProto, name: str, path: tuple[int, ...], comments: dict[tuple[int, ...], str]
) -> Iterator[Field]:
    for number, field in enumerate(message.field):
        behavior = list(field.options.Extensions[field_behavior_pb2.field_behavior])
        yield Field(f"{name}.{field.name}", comments.get((*path, _FIELDS, number), ""), behavior)
    for number, nested in enumerate(message.nested_type):
        yield from _in_message(nested, f"{name}.{nested.name}", (*path, _NESTED, number), comments)


@pytest.mark.parametrize("word", WORDS)
def test_a_comment_says_what_the_option_says(fields: list[Field], word: str) -> None:
    said = {field.name for field in fields if word in field.comment}
    declared = {field.name for field in fields if WORDS[word] in field.behavior}
    assert said == declared
    assert said, "no field at all"


def test_every_field_of_a_worker_is_output_only(fields: list[Field]) -> None:
    worker = [field for field in fields if field.name.startswith("Worker.")]
    assert worker
    assert all(field_behavior_pb2.OUTPUT_ONLY in field.behavior for field in worker)
