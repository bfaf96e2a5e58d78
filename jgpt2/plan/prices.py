"""What a chip costs an hour, from one dated table that the user can override."""

import dataclasses
import tomllib
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from jgpt2.errors import InputError

Tier = Literal["on_demand", "spot"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Price:
    """The price of a chip-hour, and where it is from."""

    usd_per_chip_hour: float | None
    """None where no price is known."""
    jpy_per_usd: float
    tier: str
    date: str | None
    source: str
    exchange_date: str | None
    exchange_source: str

    def cost_usd(self, chip_hours: float) -> float | None:
        """Dollars for so many chip-hours."""
        return None if self.usd_per_chip_hour is None else chip_hours * self.usd_per_chip_hour

    def cost_jpy(self, chip_hours: float) -> float | None:
        """Yen for so many chip-hours."""
        usd = self.cost_usd(chip_hours)
        return None if usd is None else usd * self.jpy_per_usd

    def chip_hours(self, *, usd: float | None, jpy: float | None) -> float | None:
        """Chip-hours that a purse in dollars or in yen buys."""
        if self.usd_per_chip_hour is None:
            return None
        purse_usd = usd if usd is not None else (jpy or 0.0) / self.jpy_per_usd
        return purse_usd / self.usd_per_chip_hour


def find(
    chip: str,
    *,
    tier: Tier = "on_demand",
    file: Path | None = None,
    usd_per_chip_hour: float | None = None,
    jpy_per_usd: float | None = None,
) -> Price:
    """The price of a chip; what is given counts before the table, which is `file` or the shipped.

    Raises InputError for a price that is not above 0 and for a table that cannot be read.
    """
    for name, given in (
        ("--usd-per-chip-hour", usd_per_chip_hour),
        ("--jpy-per-usd", jpy_per_usd),
    ):
        if given is not None and not given > 0:
            raise InputError(f"{name} {given} is no price; give a number above 0.")
    table = _read(file)
    row = table["chips"].get(chip, {})
    usd, date = row.get(f"{tier}_usd"), row.get("date")
    source = row.get("source", "") if usd is not None else f"no {tier} price of {chip} is known"
    if usd_per_chip_hour is not None:
        usd, date, source = usd_per_chip_hour, None, "given by --usd-per-chip-hour"
    exchange = table["exchange"]
    if jpy_per_usd is not None:
        exchange = {"jpy_per_usd": jpy_per_usd, "source": "given by --jpy-per-usd"}
    return Price(
        usd_per_chip_hour=usd,
        jpy_per_usd=exchange["jpy_per_usd"],
        tier=tier,
        date=date if usd is not None else None,
        source=source,
        exchange_date=exchange.get("date"),
        exchange_source=exchange.get("source", ""),
    )


def _read(file: Path | None) -> dict[str, Any]:
    where = file or resources.files("jgpt2.plan") / "prices.toml"
    if file is not None and not file.is_file():
        raise InputError(f"no price table at {file}; give a TOML file like jgpt2/plan/prices.toml.")
    try:
        table = tomllib.loads(where.read_text("utf-8"))
        numbers = [table["exchange"]["jpy_per_usd"]]
        for row in table["chips"].values():
            numbers += [value for name, value in row.items() if name.endswith("_usd")]
        if not all(number > 0 for number in numbers):
            raise ValueError("a price is not above 0")
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(
            f"the price table {where} cannot be used ({error!r}); it needs [exchange] with "
            "jpy_per_usd, and [chips.NAME] with on_demand_usd or spot_usd, each above 0."
        ) from error
    return table
