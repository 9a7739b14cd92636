"""No code of ours can be made to run what a file or a message says."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = (
    "engine_svc",
    "gateway",
    "steeple_cli",
    "steeple_client",
    "steeple_demo",
    "steeple_rpc",
    "tokenizer_svc",
    "protos/steeple",
    "tools",
)
UNSAFE_MODULES = {"_pickle", "cloudpickle", "dill", "jsonpickle", "marshal", "pickle", "shelve"}
UNSAFE_BUILTINS = {"__import__", "compile", "eval", "exec"}
UNSAFE_ATTRIBUTES = {("torch", "load"), ("torch", "hub"), ("os", "system"), ("os", "popen")}
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def unsafe(tree: ast.AST) -> Iterator[str]:
    """What a syntax tree uses of the above, by line."""
    for node in ast.walk(tree):
        for name in _names(node):
            yield f"line {getattr(node, 'lineno', 0)}: {name}"


def _names(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.Import(names=names):
            yield from (a.name for a in names if a.name.split(".")[0] in UNSAFE_MODULES)
        case ast.ImportFrom(module=str(module), names=names):
            if module.split(".")[0] in UNSAFE_MODULES:
                yield module
            pairs = ((module, alias.name) for alias in names)
            yield from (".".join(pair) for pair in pairs if pair in UNSAFE_ATTRIBUTES)
        case ast.Call(func=ast.Name(id=name)) if name in UNSAFE_BUILTINS:
            yield name
        case ast.Attribute(value=ast.Name(id=base), attr=attribute):
            if (base, attribute) in UNSAFE_ATTRIBUTES:
                yield f"{base}.{attribute}"
        case ast.keyword(arg="shell" | "trust_remote_code", value=ast.Constant(value=True)):
            yield str(node.arg)
        case _:
            pass


def test_every_package_is_looked_at() -> None:
    looked_at = {str(path.relative_to(ROOT)) for path in SOURCES}
    for package in PACKAGES:
        assert any(name.startswith(f"{package}/") for name in looked_at), package


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_unsafe_is_used(path: Path) -> None:
    assert list(unsafe(ast.parse(path.read_text()))) == []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "import marshal as m",
        "from dill import loads",
        "from torch import load",
        "torch.load('x')",
        "torch.hub.load('x')",
        "eval('1')",
        "exec('1')",
        "compile('1', '', 'exec')",
        "__import__('x')",
        "os.system('x')",
        "run('x', shell=True)",
        "f(trust_remote_code=True)",
    ],
)
def test_the_walk_sees_what_is_unsafe(source: str) -> None:
    assert list(unsafe(ast.parse(source))) != []


def test_the_walk_lets_namesakes_pass() -> None:
    """`model.eval()` and `re.compile` are no builtins."""
    assert list(unsafe(ast.parse("model.eval(); re.compile('x'); torch.save"))) == []
