"""Numbers of a forecast in words, the same on the terminal and on the page."""

from typing import Any

CLASS_NAMES = {
    "matmul": "行列積 matrix products",
    "vector": "ベクトル演算 vector work",
    "attention_kernel": "注意機構のカーネル attention kernels",
    "collective": "通信待ち waiting for communication",
    "copy": "コピー copies and transfers",
    "no_estimate": "見積もりなし without an estimate",
}
PART_NAMES = {
    "parameters": "パラメータ parameters",
    "optimizer_state": "最適化器の状態 optimizer state",
    "batch": "バッチ batch",
    "padding": "配置の余白 padding of layouts",
    "temporaries": "一時領域 activations and temporaries",
    "outputs": "出力 outputs",
    "code": "プログラム program code",
}


def english(name: str) -> str:
    """The English half of a heading: what follows the first space.

    >>> english("行列積 matrix products")
    'matrix products'
    """
    return name.partition(" ")[2]


def short(number: float | None) -> str:
    """Three digits and a unit.

    >>> short(1_234_567), short(309_500), short(12.3), short(None)
    ('1.23M', '310k', '12.3', '–')
    """
    if number is None:
        return "–"
    for limit, unit in ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(number) >= limit:
            return f"{_three(number / limit)}{unit}"
    return _three(number)


def _three(number: float) -> str:
    return f"{number:.2f}" if abs(number) < 10 else f"{number:.3g}" if number < 1000 else "1000"


def gigabytes(num_bytes: float | None) -> str:
    """In units of 10⁹ bytes, as the makers of chips count."""
    return "–" if num_bytes is None else f"{num_bytes / 1e9:.2f} GB"


def hours(value: float | None) -> str:
    """Hours; or seconds, minutes or days.

    >>> hours(0.001), hours(0.42), hours(7.25), hours(100)
    ('4 s', '25 min', '7.2 h', '4.2 days')
    """
    if value is None:
        return "–"
    if value < 1 / 60:
        return f"{value * 3600:.0f} s"
    if value < 1:
        return f"{value * 60:.0f} min"
    return f"{value:.1f} h" if value < 48 else f"{value / 24:.1f} days"


def usd(value: float | None) -> str:
    """Dollars, or that no price is known."""
    return "–" if value is None else f"${value:,.2f}" if value < 1000 else f"${value:,.0f}"


def jpy(value: float | None) -> str:
    """Yen."""
    return "–" if value is None else f"¥{value:,.0f}"


def price(made: dict[str, Any]) -> str:
    """What a chip-hour costs, since when, and by which rate."""
    given = made["price"]
    if given["usd_per_chip_hour"] is None:
        return f"{given['source']}; give --usd-per-chip-hour"
    tier = given["tier"].replace("_", " ")
    dated = f", {given['date']}" if given["date"] else ""
    return (
        f"${given['usd_per_chip_hour']:.2f} a chip-hour {tier} ({given['source']}{dated}); "
        f"¥{given['jpy_per_usd']:g} a dollar ({given['exchange_source']})"
    )


def span(made: dict[str, Any]) -> str:
    """The step time with its stated error."""
    seconds, error = made["step_time_s"], made["error"]["absolute"]
    if made["calibration"]:
        return f"{seconds * 1e3:.1f} ms, calibrated by {made['calibration']['run'] or 'hand'}"
    low, high = (seconds * (1 + sign * error) * 1e3 for sign in (-1, 1))
    return f"{seconds * 1e3:.1f} ms ±{error:.0%} ({low:.0f} to {high:.0f})"


def mesh(made: dict[str, Any]) -> str:
    """The axes of the mesh along which anything is shared out.

    >>> mesh({"mesh": {"data": 4, "fsdp": 16, "tensor": 1}})
    'data 4 × fsdp 16'
    """
    axes = [f"{name} {size}" for name, size in made["mesh"].items() if size and size > 1]
    return " × ".join(axes) or "one device"


def bottleneck(made: dict[str, Any]) -> str:
    """Class and share of what takes longest."""
    if made["bottleneck"] is None:
        return "memory"
    largest = made["bottleneck"]
    return f"{english(CLASS_NAMES[largest['class']])}, {largest['share']:.0%} of a step"
