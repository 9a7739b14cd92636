"""One file tells the whole contract to tools that compile nothing."""

from importlib.resources import files
from pathlib import Path

from google.api import annotations_pb2
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.rpc import error_details_pb2

PROTOS = Path(__file__).resolve().parents[2] / "protos"
OURS = sorted(str(path.relative_to(PROTOS)) for path in (PROTOS / "steeple").rglob("*.proto"))


def shipped() -> descriptor_pb2.FileDescriptorSet:
    """The set as it lies in the package."""
    data = (files("steeple") / "descriptors.binpb").read_bytes()
    return descriptor_pb2.FileDescriptorSet.FromString(data)


def known() -> descriptor_pool.DescriptorPool:
    """A pool that has the set and nothing else: an import that is missing in it fails here."""
    pool = descriptor_pool.DescriptorPool()
    for file in shipped().file:
        pool.Add(file)
    return pool


def test_the_set_holds_every_file_of_the_contract() -> None:
    """That it is fresh, byte for byte, is proven with the generated code (test_protos.py)."""
    assert set(OURS) <= {file.name for file in shipped().file}
    assert OURS


def test_the_set_needs_no_other_file() -> None:
    """Health, the details of errors and the HTTP rules are inside, with all that they import."""
    pool = known()
    for name in ("grpc.health.v1.Health", "steeple.inference.v1.InferenceService"):
        assert pool.FindServiceByName(name).methods
    for name in ("google.rpc.BadRequest", "google.rpc.ErrorInfo", "google.rpc.RetryInfo"):
        assert pool.FindMessageTypeByName(name).fields


def test_an_error_detail_is_read_with_the_set_alone() -> None:
    info = error_details_pb2.ErrorInfo(reason="OUT_OF_RANGE")
    kind = known().FindMessageTypeByName("google.rpc.ErrorInfo")
    read = message_factory.GetMessageClass(kind).FromString(info.SerializeToString())
    assert read.reason == "OUT_OF_RANGE"  # type: ignore[attr-defined] # made at run time


def test_the_http_rules_are_in_the_set() -> None:
    """A proxy that translates reads them here."""
    (file,) = (f for f in shipped().file if f.name.endswith("inference_service.proto"))
    paths = [m.options.Extensions[annotations_pb2.http].post for m in file.service[0].method]
    assert "/v1/chat:stream" in paths
