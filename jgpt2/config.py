"""What defines a training run, as frozen dataclasses: the identity of the run, never its place.

An author file in `configs/` builds one `Experiment`; the resolved value is recorded as JSON in the
run folder (`jgpt2.configio`) and everything after the launch reads that record. Vocabulary size is
not here: it follows from the tokenizer.
"""

import math
from dataclasses import dataclass, field
from typing import Literal

from jgpt2.errors import InputError

Dataset = str | dict[str, float]
"""The name of a dataset; or of several, with weights that need not sum to 1, in any order.

A weight is a share of the UTF-8 bytes of text, so that it means the same for every vocabulary.
"""
Remat = Literal["none", "dots", "names", "attention", "full"]
"""What the backward pass recomputes of a block; `Model.remat` says what each means."""


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise InputError(message)


@dataclass(frozen=True, kw_only=True)
class Model:
    """Shape and numerics of a GPT-2; parameters are always float32."""

    layers: int
    """Number of transformer blocks (N)."""
    embed_dim: int
    """Width of the residual stream (D)."""
    heads: int
    """Attention heads per block (H); must divide embed_dim."""
    context: int = 1024
    """Longest sequence in tokens: the number of learned positions."""
    dropout: float = 0.0
    """Share of embeddings, attention weights and residual branches dropped in training."""
    compute_dtype: Literal["bfloat16", "float32"] = "bfloat16"
    """Type of activations and matrix products; the softmax and the loss are float32 either way."""
    scan_layers: bool = False
    """Compile one block and loop over it: compiles faster, may run slower than unrolled blocks."""
    remat: Remat | None = None
    """What the backward pass recomputes of a block: nothing; all but matrix products; all but what
    the block names (attention's inputs and output, the MLP's first product, the residual stream);
    all but attention's output; or everything. None takes what suits the devices."""
    attention: Literal["plain", "blockwise", "pallas", "splash", "cudnn"] | None = None
    """How whole rows attend in training; None takes what is fastest on the devices of the mesh."""
    loss_chunks: int | None = None
    """Parts of the batch whose logits exist at a time; None takes what suits the devices."""

    def __post_init__(self) -> None:
        for name in ("layers", "embed_dim", "heads", "context"):
            value = getattr(self, name)
            _require(value > 0, f"model.{name}={value} is not positive; choose 1 or more.")
        _require(
            self.embed_dim % self.heads == 0,
            f"model.embed_dim={self.embed_dim} does not divide by model.heads={self.heads}; "
            f"choose a multiple of {self.heads}.",
        )
        _require(
            self.loss_chunks is None or self.loss_chunks > 0,
            f"model.loss_chunks={self.loss_chunks} is not positive; 1 makes all logits at once.",
        )
        _require(
            0 <= self.dropout < 1,
            f"model.dropout={self.dropout} is not a share; choose a value in [0, 1).",
        )


@dataclass(frozen=True, kw_only=True)
class Optimizer:
    """AdamW (Loshchilov & Hutter 2019) with global-norm clipping."""

    peak_lr: float = 6e-4
    """Learning rate at the end of the warm-up."""
    beta1: float = 0.9
    """Decay of the first moment."""
    beta2: float = 0.95
    """Decay of the second moment."""
    epsilon: float = 1e-8
    """Added to the root of the second moment."""
    weight_decay: float = 0.1
    """Decoupled decay of matrices and embeddings; biases and LayerNorm are never decayed."""
    clip_norm: float | None = 1.0
    """Largest global gradient norm; None does not clip."""

    def __post_init__(self) -> None:
        _require(
            self.peak_lr > 0,
            f"optimizer.peak_lr={self.peak_lr} is not positive; 6e-4 suits GPT-2 small.",
        )
        for name in ("beta1", "beta2"):
            value = getattr(self, name)
            _require(0 <= value < 1, f"optimizer.{name}={value} is outside [0, 1); 0.9 is usual.")
        _require(
            self.epsilon > 0, f"optimizer.epsilon={self.epsilon} is not positive; 1e-8 is usual."
        )
        _require(
            self.weight_decay >= 0,
            f"optimizer.weight_decay={self.weight_decay} is negative; 0 turns decay off.",
        )
        _require(
            self.clip_norm is None or self.clip_norm > 0,
            f"optimizer.clip_norm={self.clip_norm} is not positive; use None to turn clipping off.",
        )


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """Learning rate over the run, in fractions of its steps."""

    kind: Literal["cosine", "linear", "wsd"] = "cosine"
    """Decay after the warm-up; wsd stays at the peak and decays linearly at the end."""
    warmup: float = 0.02
    """Fraction of the steps with a linear rise from zero."""
    decay: float = 0.2
    """Fraction of the steps that wsd decays over; cosine and linear decay over all the rest."""
    final_lr: float = 0.1
    """Last learning rate as a fraction of the peak."""

    def __post_init__(self) -> None:
        for name in ("warmup", "decay", "final_lr"):
            value = getattr(self, name)
            _require(
                0 <= value <= 1, f"schedule.{name}={value} is not a fraction; choose in [0, 1]."
            )
        _require(
            self.kind != "wsd" or self.warmup + self.decay <= 1,
            f"schedule.warmup={self.warmup} and schedule.decay={self.decay} overlap; "
            "choose fractions that sum to 1 at most.",
        )


@dataclass(frozen=True, kw_only=True)
class Batch:
    """How many rows one optimizer step sees, over all devices."""

    sequences: int = 32
    """Rows of `model.context` tokens per optimizer step (B), over all devices."""
    accumulation: int = 1
    """Parts a step is computed in, one after another, to save memory; same result."""

    def __post_init__(self) -> None:
        _require(
            self.sequences > 0, f"batch.sequences={self.sequences} is not positive; 32 is usual."
        )
        _require(
            self.accumulation > 0,
            f"batch.accumulation={self.accumulation} is not positive; 1 computes a step at once.",
        )
        _require(
            self.sequences % self.accumulation == 0,
            f"batch.sequences={self.sequences} does not divide by "
            f"batch.accumulation={self.accumulation}; choose a multiple of it.",
        )


@dataclass(frozen=True, kw_only=True)
class Budget:
    """How long to train; exactly one field is set."""

    steps: int | None = None
    """Optimizer steps."""
    tokens: int | None = None
    """Training tokens seen."""
    num_bytes: int | None = None
    """UTF-8 bytes of text seen: equal across vocabularies."""
    flops: float | None = None
    """Training FLOPs by the analytic count of `jgpt2.model.count`."""

    def __post_init__(self) -> None:
        given = {name: value for name, value in vars(self).items() if value is not None}
        _require(
            len(given) == 1,
            f"budget sets {len(given)} of steps, tokens, num_bytes and flops "
            f"({', '.join(given) or 'none'}); set exactly one, and the others to None.",
        )
        ((name, value),) = given.items()
        _require(value > 0, f"budget.{name}={value} is not positive; give what to train on.")


@dataclass(frozen=True, kw_only=True)
class Mesh:
    """How devices are arranged: `data × fsdp × tensor`."""

    data: int | None = None
    """Copies of the model; None takes all devices that fsdp and tensor leave."""
    fsdp: int | None = 1
    """Devices that share out the parameters and the optimizer state; None takes the most that
    divide the devices of a slice, up to 32."""
    tensor: int = 1
    """Devices that share out heads, the MLP and the vocabulary."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            _require(
                value is None or value > 0,
                f"mesh.{name}={value} is not positive; 1 does not divide along {name}.",
            )


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Bits per byte on the validation split during training."""

    every_steps: int = 250
    """Steps between evaluations; the last step is always evaluated."""
    max_bytes: int | None = 200_000
    """Bytes of validation text scored, of each dataset its share in order; None scores all."""

    def __post_init__(self) -> None:
        _require(
            self.every_steps > 0,
            f"evaluation.every_steps={self.every_steps} is not positive; choose 1 or more.",
        )
        _require(
            self.max_bytes is None or self.max_bytes > 0,
            f"evaluation.max_bytes={self.max_bytes} is not positive; None scores all.",
        )


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """What is kept of the run while it goes on."""

    every_steps: int = 250
    """Steps between checkpoints; the last step is always saved."""
    keep_last: int = 2
    """Newest checkpoints kept, beside the best by validation bits per byte."""

    def __post_init__(self) -> None:
        _require(
            self.every_steps > 0,
            f"checkpoint.every_steps={self.every_steps} is not positive; choose 1 or more.",
        )
        _require(
            self.keep_last > 1,
            f"checkpoint.keep_last={self.keep_last} leaves nothing to go back to when the newest "
            "is damaged; choose 2 or more.",
        )


@dataclass(frozen=True, kw_only=True)
class LossPolicy:
    """What is done when a loss or a gradient is no finite number, or when the loss jumps."""

    action: Literal["rewind", "skip", "stop"] = "rewind"
    """rewind goes back to a good checkpoint and leaves out the batches that led there; skip leaves
    the state as it was before the step; stop ends the run."""
    spike: float | None = 2.0
    """Nats per token above the median of the last `window` steps that are a jump; None: none is."""
    window: int = 128
    """Steps that the median is over; before so many steps nothing counts as a jump."""
    batches: int = 2
    """Batches that a rewind leaves out: that of the step, and those before it, whose updates may
    have caused it."""
    limit: int = 3
    """How often in a run; then it stops."""

    def __post_init__(self) -> None:
        _require(
            self.spike is None or self.spike > 0,
            f"loss_policy.spike={self.spike} is not positive; None heeds no jump.",
        )
        for name in ("window", "batches"):
            value = getattr(self, name)
            _require(value > 0, f"loss_policy.{name}={value} is not positive; choose 1 or more.")
        _require(
            self.limit >= 0,
            f"loss_policy.limit={self.limit} is negative; 0 stops the run at once.",
        )


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """Which parameters a fine-tuning changes, and how."""

    method: Literal["full", "lora"] = "full"
    """full trains the parameters themselves; lora small adapters beside the kernels of the blocks,
    all else staying as it is (Hu et al. 2021, section 4.1)."""
    lora_rank: int = 8
    """Width of an adapter; with full it plays no part."""
    lora_alpha: float = 16.0
    """An adapter counts alpha / rank times; with full it plays no part."""
    frozen_layers: int | None = None
    """Lowest blocks that stay as they are, and with them the embeddings; 0 keeps only these."""

    def __post_init__(self) -> None:
        for name in ("lora_rank", "lora_alpha"):
            value = getattr(self, name)
            _require(value > 0, f"tuning.{name}={value} is not positive; 8 and 16 are usual.")
        _require(
            self.frozen_layers is None or self.frozen_layers >= 0,
            f"tuning.frozen_layers={self.frozen_layers} is negative; 0 keeps the embeddings alone.",
        )


@dataclass(frozen=True, kw_only=True)
class Start:
    """The model that a run starts from, in place of drawn parameters."""

    model: str
    """Fingerprint of its run, or of its imported folder."""
    step: int
    """Which of its checkpoints."""
    tuning: Tuning = field(default_factory=Tuning)
    """What of it is trained."""


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """One training run."""

    name: str
    """What the run is called in tables and reports."""
    seed: int = 0
    """Decides the initial weights, the order of the data and dropout."""
    dataset: Dataset = "corpus"
    """Name of the dataset, a folder under --datasets; or several and their shares of the bytes."""
    tokenizer: str = "byte"
    """Name of the vocabulary: a folder under --tokenizers."""
    model: Model
    """Shape and numerics."""
    optimizer: Optimizer = field(default_factory=Optimizer)
    """AdamW and clipping."""
    schedule: Schedule = field(default_factory=Schedule)
    """Learning rate over the run."""
    batch: Batch = field(default_factory=Batch)
    """Rows per step."""
    budget: Budget
    """How long to train."""
    mesh: Mesh = field(default_factory=Mesh)
    """Arrangement of the devices."""
    evaluation: Evaluation = field(default_factory=Evaluation)
    """Bits per byte during training."""
    checkpoint: Checkpoint = field(default_factory=Checkpoint)
    """What is kept while the run goes on."""
    loss_policy: LossPolicy = field(default_factory=LossPolicy)
    """What is done about a loss that is no number, or that jumps."""
    start: Start | None = None
    """The model that is fine-tuned; None trains from drawn parameters."""

    def __post_init__(self) -> None:
        self._require_layers_to_train()
        if isinstance(self.dataset, str):
            return
        _require(
            len(self.dataset) > 0,
            "dataset={} names nothing to train on; give a name, or names with weights such as "
            '{"books": 0.5, "web": 0.5}.',
        )
        for name, weight in self.dataset.items():
            _require(
                0 < weight < math.inf,
                f"dataset.{name}={weight} is no weight; give each dataset a number above 0 (they "
                "need not sum to 1), or leave it out.",
            )

    def _require_layers_to_train(self) -> None:
        frozen = (self.start and self.start.tuning.frozen_layers) or 0
        _require(
            frozen < self.model.layers,
            f"tuning.frozen_layers={frozen} leaves none of {self.model.layers} blocks to train; "
            f"choose {self.model.layers - 1} or fewer.",
        )
        _require(
            frozen == 0 or not self.model.scan_layers,
            f"tuning.frozen_layers={frozen} parts the blocks, which model.scan_layers holds in one "
            "array; set model.scan_layers to False.",
        )

    @property
    def weights(self) -> dict[str, float]:
        """Name -> weight of each dataset as given, sorted by name; a dataset alone weighs 1."""
        named = {self.dataset: 1.0} if isinstance(self.dataset, str) else self.dataset
        return dict(sorted(named.items()))
