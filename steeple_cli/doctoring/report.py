"""The findings for people and for programs."""

import json
import textwrap
from collections.abc import Sequence
from dataclasses import asdict

from rich.console import Console
from rich.text import Text

from steeple_cli.doctoring.finding import Finding, Level
from steeple_rpc.telemetry import printable

_STYLES = {Level.OK: "green", Level.WARN: "yellow", Level.FAIL: "bold red"}
_INDENT = 20
_LEAST_WIDTH = 20


def is_well(findings: Sequence[Finding]) -> bool:
    """Whether nothing fails."""
    return all(finding.level is not Level.FAIL for finding in findings)


def print_findings(findings: Sequence[Finding], console: Console) -> None:
    """A line per finding, its remedy below, and how it stands."""
    for finding in findings:
        head = Text(f"{finding.level.value:<5}", style=_STYLES[finding.level])
        head.append(f"{finding.about:<{_INDENT - 5}}", style="bold")
        first, *others = _lines(finding, console.width - _INDENT)
        console.print(head + Text(first))
        for line in others:
            console.print(" " * _INDENT + line)
    console.print(_verdict(findings))


def _lines(finding: Finding, width: int) -> list[str]:
    """What is told and its remedy, wrapped; words longer than a line are left whole."""
    told = _wrapped(printable(finding.told), width)
    remedy = f"→ {printable(finding.remedy)}" if finding.remedy else ""
    return [*(told or [""]), *_wrapped(remedy, width)]


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(
        text, max(_LEAST_WIDTH, width), break_long_words=False, break_on_hyphens=False
    )


def as_json(findings: Sequence[Finding]) -> str:
    """One object: whether it is well, and every finding with its numbers."""
    told = [{**asdict(finding), "level": finding.level.value} for finding in findings]
    return json.dumps({"ok": is_well(findings), "findings": told}, indent=2) + "\n"


def _verdict(findings: Sequence[Finding]) -> str:
    num_fails = sum(finding.level is Level.FAIL for finding in findings)
    num_warns = sum(finding.level is Level.WARN for finding in findings)
    if num_fails:
        return f"{num_fails} of {len(findings)} fail"
    return "nothing fails" + (f", {num_warns} to look at" if num_warns else "")
