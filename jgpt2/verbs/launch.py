"""`jgpt2 launch ...`: a command of this program on several processes, here or on TPUs.

What comes after `--` is the command, and is passed on as it is: no flag of it is read here.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from jgpt2.errors import InputError
from jgpt2.verbs import flags


def local(arguments: Sequence[str]) -> int:
    """Runs the command after `--` in several processes on this machine's CPU."""
    from jgpt2.launch import local as launcher

    def verb(
        processes: int,
        devices: int = 1,
        max_restarts: int = 3,
        grace_s: float = 30.0,
        logs: Path | None = None,
    ) -> Callable[[list[str]], int]:
        """Run a command in several processes here: launch local --processes 2 -- train ...

        Exit code 42 (state saved) is answered by a restart that does not count; 2 and 3 end the
        launch, as a second attempt would end the same way; any other counts against
        --max-restarts. Ctrl-C and SIGTERM are passed on as SIGTERM, a second one as SIGKILL.
        What process 0 prints on stdout comes out as it is; all other lines start with [PROCESS].

        Args:
            processes: How many processes.
            devices: CPU devices of each, as JAX sees them.
            max_restarts: How many failures are answered by a restart.
            grace_s: Seconds that the others have to end by themselves when one has ended early.
            logs: Folder in which each process gets a log of its own.
        """
        return lambda command: (
            launcher.run(
                command,
                processes=processes,
                devices=devices,
                max_restarts=max_restarts,
                grace_s=grace_s,
                logs=logs,
            ).exit_code
        )

    return _launch("local", verb, arguments)


def _launch(
    name: str,
    verb: Callable[..., Callable[[list[str]], int]],
    arguments: Sequence[str],
) -> int:
    """Runs what `verb` makes of the flags, on the command after `--`."""
    own, command = _split(arguments)
    bound = flags.parse(verb, own, prog=f"jgpt2 launch {name}")
    if bound is None:
        return 0
    if not command:
        raise InputError(
            "which command shall be launched? Give it last, after --, as in "
            f"`jgpt2 launch {name} ... -- train configs/tiny.py --run runs/tiny`."
        )
    return bound()(command)


def _split(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Own flags, and the command after the first `--`.

    >>> _split(["--processes", "2", "--", "train", "x", "--", "y"])
    (['--processes', '2'], ['train', 'x', '--', 'y'])
    """
    given = list(arguments)
    end = given.index("--") if "--" in given else len(given)
    return given[:end], given[end + 1 :]
