"""`jgpt2 plan`: memory, time and money of a run on TPUs that are not there."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import tyro

from jgpt2.config import Experiment
from jgpt2.errors import InputError
from jgpt2.verbs import answer, configured


@dataclasses.dataclass(frozen=True, kw_only=True)
class Asked:
    """What is planned for, and where things lie; none of it is part of the experiment."""

    topology: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """Topology such as v5e-16, v5p:4x4x4 or 2xv5e-256; give it again to compare."""
    tokenizers: Path = Path("tokenizers")
    """Folder of tokenizers, in which the config's tokenizer is looked up."""
    vocab_size: int | None = None
    """Size of the vocabulary, in place of the config's tokenizer."""
    bytes_per_token: float | None = None
    """Bytes of text that a token stands for; else measured on the sample that ships."""
    search: bool = False
    """Try batch per chip, remat and sharding, and recommend."""
    search_compiles: int = 8
    """Most compilations of a search for one topology."""
    budget_jpy: float | None = None
    """A purse in yen: what does it buy?"""
    budget_usd: float | None = None
    """A purse in dollars."""
    prices: Path | None = None
    """Price table in place of the one that ships."""
    spot: bool = False
    """Take the spot price of the table."""
    usd_per_chip_hour: float | None = None
    """Price of a chip-hour, in place of the table's."""
    jpy_per_usd: float | None = None
    """Rate of exchange, in place of the table's."""
    calibration: Path | None = None
    """Scales found by a real run; read, or written with --calibrate."""
    calibrate: Path | None = None
    """Run folder of this config on this topology; writes --calibration."""
    out: Path | None = None
    """Folder for plan.json and plan.html."""
    cache: Path | None = None
    """Folder of what was compiled; by default under the user's cache folder."""
    json: bool = False
    """Print one JSON document: of one topology an object, of several a list."""


def plan(arguments: Sequence[str]) -> int:
    """Plan a run on TPUs without one: jgpt2 plan CONFIG --topology v5e-16 [flags].

    CONFIG is as in `jgpt2 train`, and any of its fields is a flag here too. The train step is
    compiled for the topology by the TPU compiler (extra `tpu`), which takes minutes the first time
    and nothing the second. `jgpt2 plan CONFIG --help` lists the flags.
    """
    return configured.call(
        "plan",
        arguments,
        described=plan,
        verb=_verb,
        example="jgpt2 plan configs/small.py --topology v5e-16",
    )


def _verb(authored: Experiment) -> Callable[..., int]:
    unprefixed = tyro.conf.arg(name="")

    def verb(
        asked: Annotated[Asked, unprefixed],
        experiment: Annotated[Experiment, unprefixed, tyro.conf.AvoidSubcommands] = authored,
    ) -> int:
        return _run(asked, experiment)

    return verb


def _run(asked: Asked, experiment: Experiment) -> int:
    from jgpt2.plan import page, report
    from jgpt2.plan import topology as topologies
    from jgpt2.plan import vocabulary as vocabularies

    _check(asked)
    parsed = [topologies.parse(name) for name in asked.topology]
    vocabulary = vocabularies.find(
        experiment.tokenizer,
        tokenizers=asked.tokenizers,
        vocab_size=asked.vocab_size,
        bytes_per_token=asked.bytes_per_token,
    )
    answers = [_answer(asked, experiment, topology, vocabulary) for topology in parsed]
    if asked.out is not None:
        page.write(asked.out, answers)
    value = answers[0] if len(answers) == 1 else answers
    answer.give(value, report.text(answers), asked.json)
    return 0


def _check(asked: Asked) -> None:
    if not asked.topology:
        raise InputError("a plan needs a topology; give --topology v5e-16, or several.")
    if asked.budget_jpy is not None and asked.budget_usd is not None:
        raise InputError("the purse is given twice; give --budget-jpy or --budget-usd.")
    for name in ("budget_jpy", "budget_usd", "search_compiles"):
        value = getattr(asked, name)
        if value is not None and not value > 0:
            flag = f"--{name.replace('_', '-')}"
            raise InputError(f"{flag} {value} is not above 0; give what there is to spend.")
    if asked.calibrate is not None and asked.calibration is None:
        raise InputError("--calibrate writes a file; name it with --calibration FILE.")
    if asked.calibrate is not None and (asked.search or len(asked.topology) > 1):
        raise InputError(
            "--calibrate compares one run with one plan; give one --topology and no --search."
        )


def _answer(asked: Asked, experiment: Experiment, topology: Any, vocabulary: Any) -> dict[str, Any]:
    """The forecast for one topology, with what was asked beside it."""
    from jgpt2.plan import prices, purse
    from jgpt2.plan import vocabulary as vocabularies

    price = prices.find(
        topology.chip.name,
        tier="spot" if asked.spot else "on_demand",
        file=asked.prices,
        usd_per_chip_hour=asked.usd_per_chip_hour,
        jpy_per_usd=asked.jpy_per_usd,
    )
    forecast = _Forecaster(asked, topology, vocabulary, price)
    made = _search(asked, experiment, forecast) if asked.search else forecast(experiment)
    if asked.budget_jpy is not None or asked.budget_usd is not None:
        known = [vocabulary]
        if asked.vocab_size is None:
            known = vocabularies.all_measured(asked.tokenizers)
        made["purse"] = purse.buys(
            made,
            experiment,
            price=price,
            usd=asked.budget_usd,
            jpy=asked.budget_jpy,
            vocabularies=known,
        )
    return made


@dataclasses.dataclass(frozen=True)
class _Forecaster:
    """Makes forecasts for one topology; says on stderr what it compiles."""

    asked: Asked
    topology: Any
    vocabulary: Any
    price: Any

    def __call__(self, experiment: Experiment, note: str = "") -> dict[str, Any]:
        from jgpt2 import progress
        from jgpt2.plan import calibration, compiled
        from jgpt2.plan import forecast as forecasts
        from jgpt2.plan import topology as topologies

        steps = forecasts.num_steps(experiment, self.vocabulary)
        cache = self.asked.cache or compiled.cache_folder()
        size, topology = self.vocabulary.vocab_size, self.topology
        if not compiled.is_kept(experiment, size, topology, cache):
            topologies.require_compiler(topology)
            of = f" ({note})" if note else ""
            progress.say(f"compiling {experiment.name} for {topology.name}{of}: minutes, once")
        step = compiled.compiled(
            experiment, vocab_size=size, num_steps=steps, topology=topology, cache=cache
        )
        calibrated = None
        if self.asked.calibrate is not None:
            calibrated = self._calibrate(experiment, step)
        elif self.asked.calibration is not None:
            calibrated = calibration.read(self.asked.calibration, topology.chip.name)
        return forecasts.forecast(
            experiment,
            topology=topology,
            vocabulary=self.vocabulary,
            step=step,
            price=self.price,
            calibrated=calibrated,
        )

    def _calibrate(self, experiment: Experiment, step: Any) -> Any:
        from jgpt2.plan import calibration
        from jgpt2.plan import forecast as forecasts

        assert self.asked.calibrate is not None
        assert self.asked.calibration is not None
        if not step.fits:
            raise InputError(
                f"{experiment.name} does not fit on {self.topology.name}, says the compiler, so no "
                "run there can calibrate it; give the topology that the run had."
            )
        made = calibration.from_run(
            self.asked.calibrate,
            experiment,
            estimate=forecasts.estimate_of(step, self.topology),
            chip=self.topology.chip.name,
            topology=self.topology.name,
        )
        calibration.write(self.asked.calibration, made)
        return made


def _search(asked: Asked, experiment: Experiment, forecast: _Forecaster) -> dict[str, Any]:
    """The forecast of the best candidate, with all that were tried and the flags to type."""
    from jgpt2 import progress
    from jgpt2.plan import search

    tried = search.candidates(experiment, forecast.topology, forecast.vocabulary.vocab_size)
    found = []
    for candidate, made in search.search(
        tried,
        lambda candidate: forecast(candidate.experiment, candidate.flags),
        most=asked.search_compiles,
    ):
        progress.say(f"{candidate.flags}: {search.outcome(made)}")
        found.append((candidate, made))
    ranked = search.ranked(found)
    best = ranked[0][1]
    return best | {"search": search.account(ranked)}
