"""How the notebooks' plots look: colours that colour-blind people tell apart, quiet axes, and a map of the world."""

from pathlib import Path

import cartopy
import matplotlib.dates as dates
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MultipleLocator
from matplotlib.transforms import Bbox
from pandas import DataFrame

# Okabe and Ito's palette; the last one is for what is "other".
BLUE, ORANGE, GREEN, RED, PURPLE, SKY, GREY = (
    "#0072b2",
    "#e69f00",
    "#009e73",
    "#d55e00",
    "#cc79a7",
    "#56b4e9",
    "#999999",
)
COLOURS = (BLUE, ORANGE, GREEN, RED, PURPLE, SKY, GREY)


def use() -> None:
    """Set matplotlib's defaults."""
    plt.rcParams.update({
        "figure.figsize": (10, 4.2), "figure.dpi": 100, "figure.constrained_layout.use": True,
        "figure.facecolor": "white", "axes.facecolor": "white", "savefig.facecolor": "white",
        "axes.spines.top": False, "axes.spines.right": False, "axes.axisbelow": True,
        "axes.grid": True, "grid.color": "#e6e6e6", "grid.linewidth": 0.8,
        "axes.titlelocation": "left", "axes.titleweight": "bold", "axes.titlesize": 12, "axes.labelsize": 10,
        "legend.frameon": False, "legend.fontsize": 9, "axes.prop_cycle": plt.cycler(color=COLOURS),
    })  # fmt: skip


def clock(ax: Axes) -> None:
    """Write the time axis as hours and minutes."""
    ax.xaxis.set_major_locator(dates.AutoDateLocator(minticks=4, maxticks=8))
    ax.xaxis.set_major_formatter(dates.DateFormatter("%H:%M"))
    ax.set_xlabel("event time, UTC")


def world(ax: Axes, west: float = -170, east: float = 180, south: float = -58, north: float = 78) -> None:
    """Draw land and a graticule in plain longitude and latitude; the land is Natural Earth's, as Cartopy brings it."""
    _land(ax)
    step = 30 if east - west > 90 else 10
    ax.xaxis.set_major_locator(MultipleLocator(step))
    ax.yaxis.set_major_locator(MultipleLocator(step))
    ax.set(xlim=(west, east), ylim=(south, north), aspect=1 if step == 30 else 1.5)  # 1.5: no distortion at 48° N
    ax.xaxis.set_major_formatter(lambda x, _: f"{abs(x):.0f}°{'W' if x < 0 else 'E' if x > 0 else ''}")
    ax.yaxis.set_major_formatter(lambda y, _: f"{abs(y):.0f}°{'S' if y < 0 else 'N' if y > 0 else ''}")
    ax.tick_params(length=0, labelsize=8, labelcolor="#777777")
    ax.grid(color="#f0f0f0", linewidth=0.6)
    for spine in ax.spines.values():
        spine.set_visible(False)


def _land(ax: Axes) -> None:
    """Draw what is not blue in the picture of the world that `GeoAxes.stock_img` shows; it is part of Cartopy."""
    folder = Path(cartopy.config["repo_data_dir"]) / "raster" / "natural_earth"
    picture = plt.imread(folder / "50-natural-earth-1-downsampled.png")
    height, width = picture.shape[:2]
    longitude = (np.arange(width) + 0.5) * 360 / width - 180
    latitude = 90 - (np.arange(height) + 0.5) * 180 / height
    # Pixels on a coast are part land, part sea: the contour passes between the pixels, so the coast has no steps.
    blue = np.clip(picture[..., 2] - picture[..., 0], 0, 0.3)
    ax.contourf(longitude, latitude, blue, levels=[-1, 0.15], colors=["#e4e4e0"], zorder=1)
    ax.contour(longitude, latitude, blue, levels=[0.15], colors=["#bdbdb8"], linewidths=0.4, zorder=1)


def bubbles(ax: Axes, places: DataFrame, largest: float = 900) -> None:
    """Draw `places` (longitude, latitude, value, name) as bubbles with areas like their values, and their names."""
    order = places.sort_values("value", ascending=False)
    sizes = order["value"] / order["value"].max() * largest
    ax.scatter(order["longitude"], order["latitude"], s=sizes, color=BLUE, alpha=0.55, edgecolor="white", zorder=3)
    ax.figure.canvas.draw()
    taken: list[Bbox] = []
    for place, size in zip(order.itertuples(), sizes, strict=True):
        (x, y), radius = ax.transData.transform((place.longitude, place.latitude)), size**0.5 / 2 * ax.figure.dpi / 72
        taken.append(Bbox([(x - radius, y - radius * 0.7), (x + radius, y + radius * 0.7)]))
    for place, size in zip(order.itertuples(), sizes, strict=True):
        within = ax.get_xlim()[0] < place.longitude < ax.get_xlim()[1]
        within &= ax.get_ylim()[0] < place.latitude < ax.get_ylim()[1]
        if place.name and within:
            _label(ax, place.name, (place.longitude, place.latitude), size**0.5 / 2 + 2, taken)


def _label(ax: Axes, text: str, at: tuple[float, float], away: float, taken: list[Bbox]) -> None:
    """Write a label beside a bubble, at the first side where it covers no bubble and no other label."""
    sides = ((1, 0, "left", "center"), (-1, 0, "right", "center"), (0, 1, "center", "bottom"), (0, -1, "center", "top"),
             (0.7, 0.9, "left", "bottom"), (-0.7, -0.9, "right", "top"), (-0.7, 0.9, "right", "bottom"))  # fmt: skip
    for x, y, across, up in sides:
        style = {"ha": across, "va": up, "fontsize": 8, "zorder": 4, "textcoords": "offset points"}
        label = ax.annotate(text, at, (x * away, y * away), **style)
        box = label.get_window_extent()
        if not any(box.overlaps(other) for other in taken):
            taken.append(box)
            return
        label.remove()
