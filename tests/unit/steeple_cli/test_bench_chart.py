"""The chart: what it shows, what it is of, and what it needs."""

from importlib.machinery import ModuleSpec
from pathlib import Path

import matplotlib.image
import pytest

from steeple_cli.benching import chart_style
from steeple_cli.benching.chart import check_chart, draw_chart
from steeple_cli.benching.run import PointRun
from steeple_cli.benching.time_chart import (
    NUM_BINS,
    bin_edges,
    itl_by_part,
    tokens_per_s,
    under_way,
)
from steeple_cli.load.figures import LatencyBound, Window, whole_of
from steeple_cli.load.history import End
from steeple_cli.load.sample import Sample
from steeple_rpc import extras
from steeple_rpc.refused import SettingRefused
from tests.support.benches import DONE, point, report
from tests.support.samples import sample

TEN = Window(start_s=10.0, end_s=10.0 + NUM_BINS)
LOST = sample(end=End.FAILED, reason="ENGINE_LOST")


def run_of(*samples: Sample) -> PointRun:
    return PointRun(point=point(*samples), samples=list(samples), window=whole_of(samples))


def colours_of(path: Path) -> set[str]:
    """The colours in a PNG, as they are written."""
    assert path.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    pixels = matplotlib.image.imread(path)[:, :, :3].reshape(-1, 3)
    return {f"#{r:02x}{g:02x}{b:02x}" for r, g, b in (pixels * 255).round().astype(int)}


def test_a_sweep_shows_latencies_and_goodput_over_the_load(tmp_path: Path) -> None:
    bound = LatencyBound(ttft_s=0.2)
    fast, slow = sample(0.1, 0.2, 0.4), sample(0.3, 0.5, 1.4, 1.5, 1.6, 1.9)
    points = [point(*([fast] * level), slow, level=level, bound=bound) for level in (1, 4, 16)]
    draw_chart(tmp_path / "c.png", report(points, bound=bound), run_of(DONE))
    wanted = {chart_style.P50, chart_style.P99, chart_style.DONE, chart_style.GOOD}
    assert wanted <= colours_of(tmp_path / "c.png")


def test_one_load_is_shown_over_its_time(tmp_path: Path) -> None:
    samples = [sample(at, at + 0.1, at + 0.4, start_s=at - 0.2) for at in range(1, 9)]
    run = run_of(*samples)
    draw_chart(tmp_path / "c.png", report([run.point]), run)
    assert {chart_style.P50, chart_style.P99, chart_style.DONE} <= colours_of(tmp_path / "c.png")


@pytest.mark.parametrize("num_points", [1, 2])
def test_loads_in_which_everything_failed_have_a_chart_too(tmp_path: Path, num_points: int) -> None:
    points = [point(LOST, level=level + 1) for level in range(num_points)]
    draw_chart(tmp_path / "c.png", report(points), run_of(LOST))
    assert len(colours_of(tmp_path / "c.png")) > 1


def test_tokens_are_counted_in_the_part_in_which_they_came() -> None:
    """Parts of a second; what came before and after the window is in none."""
    edges = bin_edges(TEN)
    seen = tokens_per_s([sample(9.5, 10.5, 11.5, 11.6, 99.0, counts=[1, 3, 4, 8, 9])], edges)
    assert seen[:3] == [2.0, 5.0, 0.0]
    assert sum(seen) == 7.0


def test_times_between_tokens_lie_where_they_ended() -> None:
    parts = itl_by_part([sample(9.5, 10.5, 12.5, counts=[1, 2, 4])], bin_edges(TEN))
    assert parts[:3] == [[1.0], [], [1.0, 1.0]]


def test_the_end_of_the_window_belongs_to_its_last_part() -> None:
    assert tokens_per_s([sample(TEN.end_s)], bin_edges(TEN))[-1] == 1.0


def test_requests_under_way_change_where_one_begins_or_ends() -> None:
    steps = under_way(
        [sample(3.0, start_s=1.0), sample(5.0, start_s=2.0), sample(6.0, start_s=5.0)]
    )
    assert steps == [(1.0, 1), (2.0, 2), (3.0, 1), (5.0, 0), (5.0, 1), (6.0, 0)]


@pytest.mark.parametrize(
    ("name", "told"), [("none/c.png", "there is no such folder"), (".", "it is a folder")]
)
def test_a_place_where_nothing_can_be_written_is_told_beforehand(
    tmp_path: Path, name: str, told: str
) -> None:
    with pytest.raises(SettingRefused, match=f"--chart .*{told}"):
        check_chart(tmp_path / name)


@pytest.mark.parametrize("name", ["c.gif", "c.svg", "c.png.jpeg"])
def test_a_name_of_another_kind_of_picture_is_refused(tmp_path: Path, name: str) -> None:
    """What is in the file would not be what its name says."""
    with pytest.raises(SettingRefused, match=rf"{name}: only PNG is drawn: name it c.*\.png$"):
        check_chart(tmp_path / name)


@pytest.mark.parametrize("name", ["c.png", "C.PNG", "c"])
def test_a_name_of_a_png_or_of_no_kind_is_taken(tmp_path: Path, name: str) -> None:
    check_chart(tmp_path / name)


def test_without_matplotlib_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def found(name: str) -> ModuleSpec | None:
        return None if name == "matplotlib" else ModuleSpec(name, None)

    monkeypatch.setattr(extras, "find_spec", found)
    with pytest.raises(SettingRefused, match=r"--chart needs matplotlib.*steeple\[charts\]"):
        check_chart(tmp_path / "c.png")
