"""When a loss is wrong, and what the run then does: the loss policy, as functions of past losses.

Only losses up to two steps back count: the step before is still on the device when the next one is
dispatched. So the limit of a step is the same whether the run was interrupted or not.
"""

import math
import statistics
from collections import deque
from collections.abc import Iterable

from jgpt2 import config

LAG = 2
"""A step's limit is known when the step before it is dispatched but not read."""


class WrongLossError(Exception):
    """A step whose loss is wrong; the loop acts on it by the policy."""

    def __init__(self, step: int, what: str) -> None:
        super().__init__(f"{what} at step {step}")
        self.step = step
        self.what = what


class LossWatch:
    """Losses of the last steps, and what they allow the next."""

    def __init__(self, policy: config.LossPolicy, losses: Iterable[tuple[int, float]]) -> None:
        """`losses` are (step, nats per token) of the steps before, in order."""
        self._policy = policy
        self._losses = deque(losses, maxlen=policy.window + LAG)

    def limit(self, step: int) -> float:
        """The loss above which that of a step is a jump; infinite while none would be."""
        window = [loss for at, loss in self._losses if at <= step - LAG][-self._policy.window :]
        if self._policy.spike is None or len(window) < self._policy.window:
            return math.inf
        return statistics.median(window) + self._policy.spike

    def note(self, step: int, loss: float) -> None:
        """Counts a step that was taken."""
        self._losses.append((step, loss))


def what_is_wrong(loss: float, grad_norm: float, limit: float) -> str | None:
    """What to say of a wrong loss; None of a right one."""
    if not (math.isfinite(loss) and math.isfinite(grad_norm)):
        return f"the loss is {loss} and the gradient norm {grad_norm}"
    if loss > limit:
        return f"the loss is {loss:.4f}, above the {limit:.4f} that its last steps allow"
    return None


def batch_of(step: int, left_out: Iterable[int]) -> int:
    """The batch of the training order that a step, counted from 0, is trained on.

    >>> [batch_of(step, [2, 3]) for step in range(5)]
    [0, 1, 4, 5, 6]
    """
    batch = step
    for other in sorted(left_out):
        batch += other <= batch
    return batch
