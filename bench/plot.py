"""Throughput by server over connections, as a picture."""

from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import StrMethodFormatter

from bench.load import CREATE, LIST_20
from bench.processes import COMMANDS
from bench.results import Cell, Results

# Okabe and Ito's colours, which the colour-blind tell apart, and a mark of its own for each besides.
STYLES: Final[dict[str, dict[str, Any]]] = {  # Any: as matplotlib takes them
    "pets": {"color": "#D55E00", "marker": "o", "linewidth": 2.6},
    "ceiling": {"color": "#999999", "marker": "^", "linestyle": "--"},
    "asyncpg": {"color": "#0072B2", "marker": "s"},
    "fastapi": {"color": "#009E73", "marker": "D"},
}


def plot(results: Results, path: Path) -> None:
    mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "pets", "font.family": "sans-serif", "font.size": 11})
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    connections = sorted({cell.connections for cell in results.runs})
    places = range(len(connections))
    for axes, workload, title in zip(figure.subplots(1, 2), (LIST_20, CREATE), ("List 20", "Create"), strict=True):
        for server in COMMANDS:
            rates = [results[Cell(workload, number, server)].rate for number in connections]
            axes.plot(places, rates, label=server, clip_on=False, **STYLES[server])
        axes.set_title(title, loc="left", fontweight="bold")
        axes.set_xlabel("connections")
        axes.set_xticks(places, map(str, connections))
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        axes.grid(axis="y", color="#DDDDDD")
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.tick_params(length=0)
    figure.axes[0].set_ylabel("requests a second, one core")
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=4, frameon=False)
    figure.savefig(path, metadata={"Date": None})
