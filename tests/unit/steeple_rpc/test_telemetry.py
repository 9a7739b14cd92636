"""What is written to stderr, whatever a value holds. A process of its own: logging is global."""

import json
import os
import subprocess
import sys
from pathlib import Path

from steeple_rpc.telemetry import MAX_VALUE_CHARS, printable

ROOT = Path(__file__).resolve().parents[3]
EVIL = "a\nlevel=error forged\r\x1b[31mred\x07\u2028\x85\u202e"


def written(form: str, script: str) -> str:
    """All of stderr of a process that logs in this form and runs the script."""
    configure = (
        "import logging, warnings, threading\n"
        "from steeple_rpc.telemetry import configure_logging, logger\n"
        f"configure_logging(service='test', level='info', form={form!r})\n"
        f"evil = {EVIL!r}\n"
    )
    ended = subprocess.run(
        [sys.executable, "-W", "always", "-c", configure + script],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        check=False,
        timeout=60,
    )
    return ended.stderr.decode()


def lines(form: str, script: str) -> list[str]:
    return written(form, script).removesuffix("\n").split("\n")


def test_whatever_a_value_holds_json_is_one_line_of_ascii() -> None:
    (line,) = lines("json", "logger().info(evil, value=evil)")
    assert line.isprintable()
    event = json.loads(line)
    assert event["event"] == event["value"] == EVIL
    assert event["service"] == "test"


def test_whatever_a_value_holds_the_console_obeys_nothing() -> None:
    (line,) = lines("console", "logger().info(evil, value=evil)")
    assert line.isprintable()
    assert r"\x1b[31mred" in line


def test_libraries_warnings_and_crashes_are_lines_like_ours() -> None:
    script = (
        "logging.getLogger('some.library').warning('told %s', evil)\n"
        "warnings.warn(evil)\n"
        "def fail(): raise ValueError(evil)\n"
        "thread = threading.Thread(target=fail); thread.start(); thread.join()\n"
        "fail()\n"
    )
    events = [json.loads(line) for line in lines("json", script)]
    assert [event["level"] for event in events] == ["warning", "warning", "critical", "critical"]
    assert events[0]["logger"] == "some.library"
    assert {event["service"] for event in events[:2]} == {"test"}
    assert all("ValueError" in event["exception"] for event in events[2:])


def test_a_traceback_on_the_console_stays_in_its_margin() -> None:
    told = lines("console", "raise ValueError(evil)")
    assert told[0].isprintable()
    assert all(line.startswith("    | ") and line.isprintable() for line in told[1:])
    assert len(told) > 2


def test_a_value_is_cut_and_its_size_told() -> None:
    (line,) = lines("json", "logger().info('long', value='x' * 1_000_000)")
    value = json.loads(line)["value"]
    assert len(value) < MAX_VALUE_CHARS + 50
    assert value.endswith("(1000000 characters)")


def test_text_without_control_characters_is_told_as_it_is() -> None:
    assert printable("grüße, 世界") == "grüße, 世界"


def test_processes_that_share_a_stream_do_not_break_each_others_lines() -> None:
    """An engine and its core write at the same time: each line is one write."""
    script = "import os\npid = os.fork()\nfor n in range(2000): logger().info('told', n=n)\n"
    events = [json.loads(line) for line in lines("json", script + "if pid: os.waitpid(pid, 0)")]
    assert sorted(event["n"] for event in events) == [n for n in range(2000) for _ in range(2)]


def test_what_is_told_in_silence_is_not_and_later_stories_are() -> None:
    script = (
        "from steeple_rpc.telemetry import silence\n"
        "with silence(): logger().warning('unheard')\n"
        "logger().warning('heard')\n"
    )
    (line,) = lines("json", script)
    assert json.loads(line)["event"] == "heard"
