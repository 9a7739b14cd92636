"""How the charts of a bench look: colours that differ in brightness, too, and quiet axes."""

from __future__ import annotations  # for what only type checkers import

from typing import TYPE_CHECKING

from steeple_cli.benching.report import Report

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

P50, P95, P99 = "#2c7fb8", "#e08214", "#7a0177"
DONE, GOOD, OFFERED = "#2c7fb8", "#31a354", "#9e9e9e"
_GRID = "#e6e6e6"


def title(figure: Figure, report: Report, load: str) -> None:
    """What was measured, in two lines above the panels."""
    asking = report.asking
    figure.suptitle(
        f"{report.model.name}: {load}\n"
        f"prompts {asking.prompts}, outputs {asking.output_lens} tokens",
        fontsize="large",
    )


def dress(axes: Axes, *, name: str, unit: str) -> None:
    """Name, unit, a light grid, no box, and a scale from zero."""
    axes.set_title(name, loc="left", fontsize="medium", fontweight="bold")
    axes.set_ylabel(unit)
    axes.grid(color=_GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_ylim(0, axes.get_ylim()[1] * 1.05)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize="small")
