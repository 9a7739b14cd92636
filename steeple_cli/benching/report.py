"""What a bench found, as it is told, written to a file and read again."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from steeple_cli.benching.lag import Generator
from steeple_cli.load.figures import LatencyBound, LoadFigures
from steeple_rpc.files import read_text
from steeple_rpc.refused import SettingRefused

FORMAT: Literal["steeple-bench-1"] = "steeple-bench-1"
_MAX_FILE_BYTES = 1 << 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """The model that answered."""

    name: str
    architecture: str
    dtype: str
    max_model_len: int
    num_engines: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """What was asked for, as the options say it."""

    arrivals: str
    """`closed`, or how those of an open loop are spaced."""
    prompts: str
    """Their lengths, or the name of their file."""
    output_lens: str
    num_shared: int
    is_cache_used: bool
    ignore_eos: bool
    temperature: float | None
    num_requests: int | None
    duration_s: float | None
    num_connections: int
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One load of a sweep, and what it saw."""

    level: float
    unit: str
    figures: LoadFigures
    generator: Generator

    @property
    def label(self) -> str:
        """`4 callers`."""
        return f"{self.level:g} {self.unit}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A whole bench."""

    format: Literal["steeple-bench-1"] = FORMAT
    made_at: str
    """UTC, ISO 8601."""
    version: str
    """Steeple's, on this side."""
    model: Measured
    asking: Asking
    bound: LatencyBound | None
    points: tuple[Point, ...]


_ADAPTER: TypeAdapter[Report] = TypeAdapter(Report)


def write_report(report: Report, path: Path) -> None:
    """Write it as JSON.

    Raises:
        SettingRefused: it cannot be written.
    """
    try:
        path.write_bytes(_ADAPTER.dump_json(report, indent=2) + b"\n")
    except OSError as error:
        raise SettingRefused(f"--json {path} cannot be written: {error.strerror}") from None


def read_report(path: Path) -> Report:
    """A report that was written.

    Raises:
        SettingRefused: there is none in this file.
    """
    try:
        return _ADAPTER.validate_json(read_text(path, _MAX_FILE_BYTES))
    except SettingRefused as error:
        raise SettingRefused(f"{path} cannot be read: {error}") from None
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in found["loc"])
        raise SettingRefused(
            f"{path} is no report of steeple bench --json ({where}: {found['msg']})"
        ) from None
