"""A plan as text for the terminal: first what is asked most, then what it is made of."""

from collections.abc import Sequence
from typing import Any

from jgpt2 import table
from jgpt2.plan import wording


def text(answers: Sequence[dict[str, Any]]) -> str:
    """Forecasts one below the other, below a table that compares them if there are several."""
    blocks = [_compared(answers)] if len(answers) > 1 else []
    return "\n\n".join([*blocks, *map(_one, answers)])


def _compared(answers: Sequence[dict[str, Any]]) -> str:
    columns = ("topology", "chips", "memory", "step", "MFU", "time", "cost", "", "bottleneck")
    return _table(columns, [comparison(made) for made in answers])


def _table(columns: Sequence[str], rows: Sequence[Sequence[str | int]]) -> str:
    """A table whose first column stands left, and all others right."""
    shown = [list(columns), *([table.cell(value) for value in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    head, *body = (
        [row[0], *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        for row in shown
    )
    return table.text(head, body)


def comparison(made: dict[str, Any]) -> list[str]:
    """A row that stands for a forecast beside others."""
    step = made["step_time_s"]
    return [
        made["topology"],
        f"{made['chips']:,}",
        f"{made['hbm_bytes'] / 1e9:.1f} of {made['hbm_limit_bytes'] / 1e9:.1f} GB"
        + ("" if made["fits"] else " ✗"),
        "–" if step is None else f"{step * 1e3:.0f} ms",
        "–" if made["mfu"] is None else f"{made['mfu']:.1%}",
        wording.hours(made["hours"]),
        wording.usd(made["cost_usd"]),
        wording.jpy(made["cost_jpy"]),
        wording.bottleneck(made),
    ]


def _one(made: dict[str, Any]) -> str:
    head = (
        f"{made['name']} on {made['topology']}: {made['chips']:,} chips, {wording.mesh(made)}; "
        f"{made['parameters']:,} parameters, vocabulary {made['tokenizer']} "
        f"({made['vocab_size']:,} ids)"
    )
    lines = [head, "", f"memory      {made['verdict']}"]
    if made["step_time_s"] is not None:
        lines += _answers(made)
        lines += ["", _classes(made), "", _memory(made)]
        lines += _collectives(made) + _kernels(made)
    lines += _search(made) + _purse(made)
    return "\n".join(lines)


def _answers(made: dict[str, Any]) -> list[str]:
    size = f"{wording.short(made['tokens'])} tokens, {made['steps']:,} steps"
    if made["bytes"]:
        size = f"{wording.short(made['bytes'])}B of text, {size}"
    per_s = f"{made['tokens_per_s_per_chip']:,.0f} tokens/s a chip"
    if made["bytes_per_s"]:
        per_s += f", {made['bytes_per_s'] / 1e6:.2f} MB/s of text in all"
    cost = "not known"
    if made["cost_usd"] is not None:
        cost = f"{wording.usd(made['cost_usd'])} = {wording.jpy(made['cost_jpy'])}"
    return [
        f"time        {wording.hours(made['hours'])} for {size}",
        f"cost        {cost}; {wording.price(made)}",
        f"bottleneck  {wording.bottleneck(made)}",
        f"step        {wording.span(made)}",
        f"rate        {per_s}",
        f"MFU         {made['mfu']:.1%} as in metrics.jsonl (causal attention), "
        f"{made['mfu_full_attention']:.1%} with attention in full",
        f"text        {_bytes_per_token(made)}",
    ]


def _bytes_per_token(made: dict[str, Any]) -> str:
    if made["bytes_per_token"] is None:
        return "bytes per token not known; give --bytes-per-token"
    return f"{made['bytes_per_token']:.2f} bytes a token, {made['bytes_per_token_basis']}"


def _classes(made: dict[str, Any]) -> str:
    rows = [
        [wording.english(wording.CLASS_NAMES[name]), f"{seconds * 1e3:.2f}",
         f"{seconds / made['step_time_s']:.1%}"]
        for name, seconds in sorted(made["classes_s"].items(), key=lambda item: -item[1])
    ]  # fmt: skip
    return _table(["a step", "ms", "share"], rows)


def _memory(made: dict[str, Any]) -> str:
    rows = [
        [wording.english(wording.PART_NAMES[name]), f"{num_bytes / 1e9:.3f}"]
        for name, num_bytes in made["hbm_parts"].items()
        if num_bytes
    ]
    rows.append(["sum of buffers", f"{made['hbm_bytes'] / 1e9:.3f}"])
    rows.append(
        [wording.english(wording.PART_NAMES["code"]), f"{made['hbm_code_bytes'] / 1e9:.3f}"]
    )
    return _table(["memory of a device", "GB"], rows)


def _collectives(made: dict[str, Any]) -> list[str]:
    rows = [
        [row["kind"], row["count"], f"{row['num_bytes'] / 1e6:,.1f}", f"{row['wire_s'] * 1e3:.2f}",
         f"{row['waited_s'] * 1e3:.2f}"]
        for row in made["collectives"]
    ]  # fmt: skip
    if not rows:
        return []
    return ["", _table(["communication", "count", "MB", "ms on the wire", "ms waited"], rows)]


def _kernels(made: dict[str, Any]) -> list[str]:
    rows = [
        [row["name"], row["calls"], f"{row['seconds'] * 1e3:.2f}", row["basis"]]
        for row in made["kernels"]
    ]
    lines = ["", _table(["kernel", "calls", "ms", "priced by"], rows)] if rows else []
    return lines + [f"remark: {remark}" for remark in made["remarks"]]


def _search(made: dict[str, Any]) -> list[str]:
    if "search" not in made:
        return []
    found = made["search"]
    rows = [
        [row["flags"], row["rows_per_device"], f"{row['hbm_bytes'] / 1e9:.1f}",
         "–" if row["step_time_s"] is None else f"{row['step_time_s'] * 1e3:.0f}",
         "yes" if row["fits"] else "no"]
        for row in found["tried"]
    ]  # fmt: skip
    flags = found["recommended"]
    return [
        "",
        _table(["tried", "rows a device", "GB", "ms", "fits"], rows),
        f"recommended: {flags or 'none'}",
        f"because: {found['reason']}",
    ]


def _purse(made: dict[str, Any]) -> list[str]:
    if "purse" not in made:
        return []
    bought = made["purse"]
    if bought is None:
        return ["", "purse       buys nothing that is known: no price, or no fit"]
    worth = f"{wording.jpy(bought['budget_jpy'])} = {wording.usd(bought['budget_usd'])}"
    text = f", {wording.short(bought['bytes'])}B of text" if bought["bytes"] else ""
    return [
        "",
        f"purse       {worth} buys {wording.hours(bought['hours'])}: "
        f"{wording.short(bought['tokens'])} tokens{text} "
        f"({bought['tokens_per_parameter']:.0f} a parameter)",
        f"            largest size trained compute-optimally: {bought['largest_model'] or 'none'}",
        f"            largest vocabulary for this budget's text: "
        f"{bought['largest_vocabulary'] or 'none'}",
        f"            rule: {bought['rule']}",
    ]
