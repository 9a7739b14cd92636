"""docs/reliability.md names every fault that is injected, and none that is not."""

import re

from tests.support.deployment import ROOT

PAGE = (ROOT / "docs" / "reliability.md").read_text()
RECORD = (ROOT / "tests" / "faults" / "TRACK_RECORD.md").read_text()


def test_every_fault_has_a_row_and_every_row_a_test() -> None:
    told = set(re.findall(r"^\| F-(\d\d) \|", PAGE, flags=re.MULTILINE))
    files = (ROOT / "tests" / "faults").glob("test_F*.py")
    tested = {path.name.removeprefix("test_F")[:2] for path in files}
    assert told == tested


def test_every_promise_has_a_row() -> None:
    told = re.findall(r"^\| P(\d+) \|", PAGE, flags=re.MULTILINE)
    assert told == [str(number) for number in range(1, 12)]


def test_the_track_record_names_tests_that_exist() -> None:
    """Each row ends with a command; the files that it runs are there."""
    rows = [line for line in RECORD.splitlines() if line.startswith("| ")][1:]
    assert rows
    for row in rows:
        paths = re.findall(r"tests/[\w/]+\.py", row)
        assert paths or "make soak" in row, row
        assert all((ROOT / path).exists() for path in paths), row
