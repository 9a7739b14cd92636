"""Generate the contract's Python code, descriptor set and reference from its .proto files.

`python tools/protos.py` writes beside the .proto files and into docs/; with OUT, all but the
reference into OUT, so that a test can compare. Needs grpcio-tools and mypy-protobuf (the `dev`
extra).
"""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent / "protos"


def sources() -> list[str]:
    """Every .proto file of ours, relative to the module root, in a fixed order."""
    return sorted(str(path.relative_to(ROOT)) for path in (ROOT / "steeple").rglob("*.proto"))


def generate(out: Path) -> None:
    """Write messages, service stubs, their types and the descriptor set below `out`.

    Raises:
        SystemExit: the compiler refused a file; its message is on stderr.
    """
    _protoc(out, ("python", "mypy"), sources())
    # Stubs only where a service is defined: the others would be empty files.
    services = [source for source in sources() if source.endswith("_service.proto")]
    _protoc(out, ("grpc_python", "mypy_grpc"), services)
    _add_package_files(out)
    _write_descriptor_set(out / "steeple" / "descriptors.binpb")


def described(path: Path) -> bytes:
    """The descriptor set of our files with their comments, written to `path` on the way."""
    _compile([f"--descriptor_set_out={path}", "--include_source_info"], sources())
    return path.read_bytes()


def _write_descriptor_set(path: Path) -> None:
    # What replies hold beside our own messages: health, and the details of an error.
    beside = ["google/rpc/error_details.proto", "grpc/health/v1/health.proto"]
    _compile([f"--descriptor_set_out={path}", "--include_imports"], [*sources(), *beside])


def _protoc(out: Path, kinds: tuple[str, ...], files: list[str]) -> None:
    # The plugin stands beside this interpreter, which need not be on the PATH.
    plugins = [
        f"--plugin=protoc-gen-{name}={Path(sys.executable).parent / f'protoc-gen-{name}'}"
        for name in ("mypy", "mypy_grpc")
    ]
    outputs = [f"--{kind}_out={'quiet:' if 'mypy' in kind else ''}{out}" for kind in kinds]
    _compile([*plugins, *outputs], files)


def _compile(options: list[str], files: list[str]) -> None:
    # Imported late: only this development tool needs the compiler.
    from grpc_tools import protoc  # noqa: PLC0415

    includes = [f"-I{ROOT}", f"-I{ROOT / 'third_party'}", f"-I{_well_known()}"]
    status = protoc.main(["protoc", *options, *includes, *files])
    if status != 0:
        raise SystemExit(status)


def _well_known() -> Path:
    import grpc_tools  # noqa: PLC0415

    return Path(grpc_tools.__file__).parent / "_proto"


def _add_package_files(out: Path) -> None:
    packages = {parent for source in sources() for parent in Path(source).parents}
    for package in packages - {Path()}:
        (out / package / "__init__.py").touch()


def write_reference() -> None:
    """Write the pages of docs/ that tell the contract."""
    # A program of its own: it reads the contract through this file.
    command = [sys.executable, "-m", "tools.api_reference"]
    subprocess.run(command, cwd=ROOT.parent, check=True)  # noqa: S603 - of this repository


if __name__ == "__main__":
    if len(sys.argv) > 1:
        generate(Path(sys.argv[1]))
    else:
        generate(ROOT)
        write_reference()
