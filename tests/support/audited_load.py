"""Loads model directories under an audit of everything that could run a file's code.

A hook of Python's cannot be taken away again, so this is a program of its own: it prints one JSON
object per directory, see `Audit`.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

TIMEOUT_S = 90
# Unpickling, programs, libraries. Python reads its own byte code with marshal.
_RUNS_CODE = ("pickle.", "os.system", "os.exec", "subprocess.", "ctypes.dlopen")

_MAKES_CODE = frozenset({"compile", "exec", "import"})


@dataclass(slots=True, kw_only=True)
class Audit:
    """What loading one directory did."""

    refusal: str = ""
    """The StartupError's text; empty: it loaded."""
    opened: list[str] = field(default_factory=list)
    """Names of the directory's files that Python opened."""
    ran: list[str] = field(default_factory=list)
    """Events that run code, or imported or compiled something of the directory."""
    rss_bytes: int = 0
    """By how much the process grew at its greatest, in bytes."""


def audited(directories: Sequence[Path]) -> list[Audit]:
    """What each directory's load did, in a fresh process."""
    result = subprocess.run(
        [sys.executable, "-m", "tests.support.audited_load", *map(str, directories)],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=True,
    )
    return [Audit(**json.loads(line)) for line in result.stdout.splitlines()]


def _main(names: Sequence[str]) -> None:
    import resource  # noqa: PLC0415 - of the program, not of the tests that call it

    import torch  # noqa: PLC0415 - likewise

    from engine_svc.core.errors import StartupError  # noqa: PLC0415 - likewise
    from engine_svc.core.models.description import read_description  # noqa: PLC0415 - likewise
    from engine_svc.core.models.family import Task  # noqa: PLC0415 - likewise
    from engine_svc.core.models.loader import load_model  # noqa: PLC0415 - likewise
    from steeple_rpc.telemetry import configure_logging  # noqa: PLC0415 - likewise

    configure_logging(service="audit", level="warning", form="json")  # stdout has the audits

    def greatest_rss() -> int:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

    audits = {name: Audit() for name in names}
    current = [names[0]]
    sys.addaudithook(lambda event, arguments: _note(audits, current[0], event, arguments))
    for name in names:
        current[0] = name
        before = greatest_rss()
        try:
            load_model(
                read_description(Path(name)),
                task=Task.DECODER,
                dtype="float32",
                device=torch.device("cpu"),
                progress=lambda *_: None,
            )
        except StartupError as error:
            audits[name].refusal = str(error)
        audits[name].rss_bytes = greatest_rss() - before
    sys.stdout.writelines(f"{json.dumps(asdict(audit))}\n" for audit in audits.values())


def _note(audits: dict[str, Audit], name: str, event: str, arguments: tuple[object, ...]) -> None:
    if event == "open" and str(arguments[0]).startswith(name):
        audits[name].opened.append(Path(str(arguments[0])).name)
    elif event.startswith(_RUNS_CODE) or (event in _MAKES_CODE and name in repr(arguments)):
        audits[name].ran.append(event)


if __name__ == "__main__":
    _main(sys.argv[1:])
