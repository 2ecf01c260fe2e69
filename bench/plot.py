"""Throughput by server over connections, as a picture."""

from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import StrMethodFormatter

from bench.results import Cell, Results
from bench.workloads import CREATE, ONE_PET, SAME_20, STORES, TYPE_AND_LIMIT

CONNECTIONS: Final = (1, 16, 64, 256)
PLOTTED: Final = {
    ONE_PET: "One pet, any of 100,000",
    TYPE_AND_LIMIT: "Pages of any type and limit",
    CREATE: "Create",
    SAME_20: "The same page for every client",
}
SERVERS: Final = ("ceiling", *STORES)

# Okabe and Ito's colours, which colour-blind readers can tell apart, and a mark for each server.
STYLES: Final[dict[str, dict[str, Any]]] = {  # Any: as matplotlib takes them
    "pets": {"color": "#D55E00", "marker": "o", "linewidth": 2.6},
    "ceiling": {"color": "#999999", "marker": "^", "linestyle": "--"},
    "asyncpg": {"color": "#0072B2", "marker": "s"},
    "fastapi": {"color": "#009E73", "marker": "D"},
}


def plot(results: Results, path: Path) -> None:
    mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "pets"})
    mpl.rcParams.update({"font.family": "sans-serif", "font.size": 11})
    figure = Figure(figsize=(10, 7.6), layout="constrained")
    for axes, (workload, title) in zip(figure.subplots(2, 2).flat, PLOTTED.items(), strict=True):
        for server in SERVERS:
            cells = [Cell(workload, number, server) for number in CONNECTIONS]
            rates = {cell.connections: results[cell].rate for cell in cells if cell in results.runs}
            places = range(len(rates))
            if rates:
                axes.plot(places, rates.values(), label=server, clip_on=False, **STYLES[server])
                axes.set_xticks(places, map(str, rates))
        axes.set_title(title, loc="left", fontweight="bold")
        axes.set_xlabel("connections")
        axes.set_ylabel("requests a second, one core")
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        axes.grid(axis="y", color="#DDDDDD")
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.tick_params(length=0)
    labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(*labels, loc="outside upper center", ncols=4, frameon=False)
    figure.savefig(path, metadata={"Date": None})
