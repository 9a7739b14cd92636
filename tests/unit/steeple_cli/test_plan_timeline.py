"""The picture: right states, right size, right colours in each row."""

import os
import struct
import sys
from pathlib import Path

import matplotlib.image
import pytest

from engine_svc.core.params import FinishReason, RequestId
from steeple_cli.planning.errors import PlanRefused
from steeple_cli.planning.record import Cause, Interval, Pause, RequestRecord
from steeple_cli.planning.timeline import (
    MAX_REQUESTS,
    State,
    check_timeline,
    draw_timeline,
    panel_height_px,
    states_of,
)

_MARGIN_PX = panel_height_px(0)


def record(idx: int, *times: float, pauses: tuple[Pause, ...] = ()) -> RequestRecord:
    arrival, start, *tokens = times
    return RequestRecord(
        request_id=RequestId(str(idx)),
        prompt_len=10,
        arrival_s=arrival,
        start_s=start,
        token_times_s=tuple(tokens),
        num_cached_tokens=0,
        finish_reason=FinishReason.MAX_TOKENS,
        pauses=pauses,
    )


def ids(count: int) -> list[RequestId]:
    return [RequestId(str(idx)) for idx in range(count)]


def size_of(path: Path) -> tuple[int, int]:
    """Width and height from the header of a PNG."""
    head = path.read_bytes()[:24]
    assert head[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", head[16:24])
    return width, height


def colours_at(path: Path, y: int) -> set[str]:
    """The colours of one line of pixels, as states are written."""
    pixels = (matplotlib.image.imread(path)[y, :, :3] * 255).round().astype(int)
    return {f"#{r:02x}{g:02x}{b:02x}" for r, g, b in pixels}


def test_states_follow_each_other_without_gaps() -> None:
    pauses = (
        Pause(Interval(4.0, 5.0), Cause.PROMPT),
        Pause(Interval(5.0, 6.0), Cause.LIMIT),
        Pause(Interval(7.0, 8.0), Cause.LIMIT),
    )
    assert list(states_of(record(0, 0.0, 1.0, 3.0, 4.0, 7.0, 9.0, pauses=pauses))) == [
        (State.WAITING, Interval(0.0, 1.0)),
        (State.PREFILL, Interval(1.0, 3.0)),
        (State.DECODE, Interval(3.0, 4.0)),
        (State.PAUSED, Interval(4.0, 5.0)),
        (State.PAUSED, Interval(5.0, 6.0)),
        (State.DECODE, Interval(6.0, 7.0)),
        (State.PAUSED, Interval(7.0, 8.0)),
        (State.DECODE, Interval(8.0, 9.0)),
    ]


def test_a_request_of_one_token_that_starts_at_once_has_one_state() -> None:
    assert list(states_of(record(0, 1.0, 1.0, 3.0))) == [(State.PREFILL, Interval(1.0, 3.0))]


@pytest.mark.parametrize("count", [5, 200])
def test_every_request_has_rows_of_pixels_of_its_own(tmp_path: Path, count: int) -> None:
    requests = [record(idx, 0.0, idx + 0.0, idx + 1.0, idx + 2.0) for idx in range(count)]
    draw_timeline(tmp_path / "t.png", {"continuous": requests}, ids(count))
    _, height = size_of(tmp_path / "t.png")
    assert height == panel_height_px(count)
    assert (height - _MARGIN_PX) / count >= 4


def test_every_policy_has_a_panel(tmp_path: Path) -> None:
    requests = [record(0, 0.0, 1.0, 2.0, 3.0)]
    draw_timeline(tmp_path / "t.png", {"a": requests, "b": requests}, ids(1))
    assert size_of(tmp_path / "t.png")[1] == 2 * panel_height_px(1)


def test_a_row_has_the_colours_of_its_states(tmp_path: Path) -> None:
    """Three rows: one with all states, one that was refused, one that only waits and prefills."""
    pauses = (Pause(Interval(4.0, 6.0), Cause.LIMIT),)
    requests = [record(0, 0.0, 2.0, 4.0, 8.0, pauses=pauses), record(2, 0.0, 4.0, 8.0)]
    draw_timeline(tmp_path / "t.png", {"continuous": requests}, ids(3))
    height = size_of(tmp_path / "t.png")[1]
    states = {state.value for state in State}
    seen = [colours_at(tmp_path / "t.png", y) & states for y in range(height)]
    assert states in seen
    assert {State.WAITING.value, State.PREFILL.value} in seen
    # From top to bottom: the legend with all four, row 0 with all four, row 1, row 2.
    last_of_row_0 = max(y for y, colours in enumerate(seen) if colours == states)
    assert seen[last_of_row_0 + 4] == set()
    assert {State.WAITING.value, State.PREFILL.value} in seen[last_of_row_0 + 4 :]


def test_a_plan_without_a_finished_request_has_a_picture_too(tmp_path: Path) -> None:
    draw_timeline(tmp_path / "t.png", {"continuous": []}, ids(2))
    assert size_of(tmp_path / "t.png")[1] == panel_height_px(2)


def test_too_many_requests_are_refused_with_the_limit(tmp_path: Path) -> None:
    check_timeline(tmp_path / "t.png", num_requests=MAX_REQUESTS)
    with pytest.raises(PlanRefused, match=f"--timeline .*{MAX_REQUESTS}.*{MAX_REQUESTS + 1}"):
        check_timeline(tmp_path / "t.png", num_requests=MAX_REQUESTS + 1)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("none/t.png", "there is no such folder"),
        ("file/t.png", "there is no such folder"),
        (".", "it is a folder"),
        ("x" * 300, "File name too long"),
    ],
)
def test_a_place_where_nothing_can_be_written_is_told_beforehand(
    tmp_path: Path, name: str, told: str
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(PlanRefused, match=f"--timeline .*{told}"):
        check_timeline(tmp_path / name, num_requests=1)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
@pytest.mark.parametrize("is_there", [False, True])
def test_a_place_that_may_not_be_written_is_told_beforehand(
    tmp_path: Path, *, is_there: bool
) -> None:
    path = tmp_path / "t.png"
    if is_there:
        path.touch(mode=0o400)
    else:
        tmp_path.chmod(0o500)
    with pytest.raises(PlanRefused, match=r"--timeline .*permission denied"):
        check_timeline(path, num_requests=1)


def test_a_name_of_another_kind_of_picture_is_refused(tmp_path: Path) -> None:
    """What is in the file would not be what its name says."""
    with pytest.raises(PlanRefused, match=r"--timeline .*t.svg: only PNG is drawn: name it t.png$"):
        check_timeline(tmp_path / "t.svg", num_requests=1)


def test_a_picture_that_cannot_be_written_after_all_is_told(tmp_path: Path) -> None:
    with pytest.raises(PlanRefused, match=r"--timeline .*No such file or directory"):
        draw_timeline(tmp_path / "none" / "t.png", {"continuous": []}, ids(1))


def test_without_matplotlib_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(PlanRefused, match=r"--timeline needs matplotlib.*steeple\[charts\]"):
        check_timeline(tmp_path / "t.png", num_requests=1)
