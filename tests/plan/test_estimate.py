"""The estimate of programs written by hand: every answer is in closed form."""

import pytest

from tests.plan.conftest import LAYOUT, cycles, program
from tests.plan.test_hlo import CONDITION, PRODUCT

CLOCK = 1.5e9  # v5e
HBM = 819e9
LINK = 45e9
BYTES = 8 * 128 * 4


def vector(name, number, operand="p"):
    return f"%{name} = f32[8,128]{LAYOUT} add(%{operand}, %{operand}), {cycles(number)}"


def test_cycles_are_seconds_by_class(estimated):
    made = estimated(
        program(
            f"%dot = f32[8,128]{LAYOUT} fusion(%p), calls=%fused, {cycles(3000)}",
            f"%conv = f32[8,128]{LAYOUT} convolution(%p, %p), {cycles(1500)}",
            vector("sum", 750),
            f"%copy.1 = f32[8,128]{LAYOUT} copy(%sum), {cycles(300)}",
            "%free = f32[1024] bitcast(%copy.1)",
            before=PRODUCT,
        )
    )
    assert made.classes_s["matmul"] == pytest.approx(4500 / CLOCK)
    assert made.classes_s["vector"] == pytest.approx(750 / CLOCK)
    assert made.classes_s["copy"] == pytest.approx(300 / CLOCK)
    assert made.seconds == pytest.approx(sum(made.classes_s.values())) == 5550 / CLOCK
    assert made.costliest[0]["class"] == "matmul"


def test_what_has_no_cycles_is_priced_by_its_bytes_unless_in_vmem(estimated):
    made = estimated(
        program(
            "%near = f32[8,128]{1,0:T(8,128)S(1)} scatter(%p, %p, %p), to_apply=%fused",
            f"%far = f32[8,128]{LAYOUT} scatter(%p, %p, %p), to_apply=%fused",
            before=PRODUCT,
        )
    )
    assert made.seconds == made.classes_s["no_estimate"] == pytest.approx(2 * BYTES / HBM)


def nested(inner, outer):
    """A loop of `outer` runs around one of `inner`, with 100 cycles in the inner body."""
    within = CONDITION.replace("BOUND", str(inner)).replace("STEP", "1")
    within = within.replace("%carried =", vector("work", 100, "x.1") + "\n  %carried =")
    around = CONDITION.replace("BOUND", str(outer)).replace("STEP", "1")
    around = around.replace("%cond ", "%cond.o ").replace("%body ", "%body.o ")
    loop = "%in = (s32[], f32[8,128]) while(%t.1), condition=%cond, body=%body"
    around = around.replace("%carried =", f"{loop}\n  %carried =")
    return program(
        "%out = (s32[], f32[8,128]) while(%p), condition=%cond.o, body=%body.o",
        before=f"{within}\n{around}",
    )


def test_loops_are_multiplied_by_their_trips_and_nest(estimated):
    made = estimated(nested(5, 7))
    assert made.classes_s["vector"] == pytest.approx(35 * 100 / CLOCK)
    # Each run of a body also copies its index, 4 bytes that have no cycles.
    assert made.classes_s["no_estimate"] == pytest.approx((35 + 7) * 2 * 4 / HBM)
    assert made.seconds == pytest.approx(sum(made.classes_s.values()))
    assert made.remarks == []


def test_a_loop_of_unknown_length_is_remarked(estimated):
    text = nested(5, 7).replace("%bound = s32[] constant(7)", "%bound = s32[] parameter(1)")
    made = estimated(text)
    assert made.classes_s["vector"] == pytest.approx(5 * 100 / CLOCK)
    assert made.remarks == ["the loop out is counted once: its length is not printed"]


ALL = "replica_groups=[1,16]<=[16]"


@pytest.mark.parametrize(
    ("kind", "shape", "sent"),
    [
        ("all-reduce", "f32[8,128]", 2 * BYTES * 15 / 16),
        ("all-gather", "f32[128,128]", 16 * BYTES * 15 / 16),
        ("reduce-scatter", "f32[8,8]", BYTES * 15 / 16),
        ("all-to-all", "f32[8,128]", BYTES * 15 / 16 / 2),
    ],
)
def test_a_synchronous_collective_is_waited_for_in_full(estimated, kind, shape, sent):
    made = estimated(program(f"%c = {shape}{LAYOUT} {kind}(%p), channel_id=1, {ALL}"))
    # v5e-16 is 4 × 4 without wrap-around: one link on each of two axes.
    assert made.seconds == pytest.approx(sent / (2 * LINK))
    assert made.classes_s["collective"] == made.seconds
    (row,) = made.collectives
    assert (row["kind"], row["count"]) == (kind, 1)
    assert row["num_bytes"] == (16 * BYTES if kind == "all-gather" else BYTES)
    assert row["waited_s"] == row["wire_s"] == pytest.approx(made.seconds)


def asynchronous(number, kind="all-reduce"):
    return program(
        f"%start = f32[8,128]{LAYOUT} {kind}-start(%p), channel_id=1, {ALL}",
        vector("meanwhile", number),
        f"%done = f32[8,128]{LAYOUT} {kind}-done(%start)",
    )


def test_what_runs_beside_a_collective_hides_it(estimated):
    wire_s = 2 * BYTES * 15 / 16 / (2 * LINK)
    hidden = estimated(asynchronous(10_000))
    assert hidden.seconds == pytest.approx(10_000 / CLOCK)
    assert hidden.classes_s["collective"] == 0
    assert hidden.collectives[0]["wire_s"] == pytest.approx(wire_s)
    exposed = estimated(asynchronous(30))
    assert exposed.seconds == pytest.approx(wire_s)
    assert exposed.classes_s["collective"] == pytest.approx(wire_s - 30 / CLOCK)


def test_two_collectives_share_the_links(estimated):
    start = f"f32[8,128]{LAYOUT} all-reduce-start(%p), channel_id=1, {ALL}"
    made = estimated(
        program(
            f"%a = {start}",
            f"%b = {start}",
            f"%a.d = f32[8,128]{LAYOUT} all-reduce-done(%a)",
            f"%b.d = f32[8,128]{LAYOUT} all-reduce-done(%b)",
        )
    )
    assert made.seconds == pytest.approx(2 * 2 * BYTES * 15 / 16 / (2 * LINK))


def test_a_prefetch_costs_what_is_left_of_it(estimated):
    def made(number):
        return estimated(
            program(
                "%s = ((f32[8,128]), f32[4,128]{1,0:T(8,128)S(1)}, s32[]) slice-start(%p)",
                vector("meanwhile", number),
                "%d = f32[4,128]{1,0:T(8,128)S(1)} slice-done(%s)",
            )
        )

    assert made(1000).classes_s["copy"] == 0
    # Only the slice is moved, not the array that it is cut from.
    assert made(0).seconds == pytest.approx(BYTES / 2 / HBM)


ASYNC_START = f"""%first (a: f32[8,128]) -> (f32[8,128], f32[128,128]) {{
  %a = f32[8,128]{LAYOUT} parameter(0)
  %g = f32[128,128]{LAYOUT} all-gather(%a), channel_id=12, {ALL}
  ROOT %c = (f32[8,128], f32[128,128]) custom-call(%g), custom_call_target="AsyncCollectiveStart"
}}

%middle (a: f32[8,128]) -> f32[8,128] {{
  %a = f32[8,128]{LAYOUT} parameter(0)
  %g = f32[128,128]{LAYOUT} all-gather(%a), channel_id=12, {ALL}
  ROOT %t = f32[8,128]{LAYOUT} tanh(%a)
}}

%last (a: f32[8,128]) -> f32[128,128] {{
  %a = f32[8,128]{LAYOUT} parameter(0)
  %g = f32[128,128]{LAYOUT} all-gather(%a), channel_id=12, {ALL}
  ROOT %d = f32[128,128] custom-call(%a, %g), custom_call_target="AsyncCollectiveDone"
}}
"""


def test_the_parts_of_one_fused_collective_are_one(estimated):
    made = estimated(
        program(
            "%s = (f32[8,128], f32[128,128]) fusion(%p), kind=kCustom, calls=%first",
            f"%m = f32[8,128]{LAYOUT} fusion(%p), kind=kCustom, calls=%middle, {cycles(300)}",
            "%d = f32[128,128] fusion(%p), kind=kCustom, calls=%last",
            before=ASYNC_START,
        )
    )
    (row,) = made.collectives
    assert (row["kind"], row["count"], row["num_bytes"]) == ("all-gather (fused)", 1, 16 * BYTES)
    wire_s = 15 * BYTES / (2 * LINK)
    assert row["waited_s"] == pytest.approx(wire_s - 300 / CLOCK)
    assert made.seconds == pytest.approx(wire_s)


def test_a_fused_all_reduce_and_slice_is_a_reduce_scatter(estimated):
    made = estimated(
        program(
            "%f = f32[1,128] fusion(%p), kind=kCustom, calls=%scatter, backend_config="
            '{"collective_algorithm_config":{"emitter":"SingleInputAllReduceScatterFusion"}}',
            before=f"""%scatter (a: f32[8,128]) -> f32[1,128] {{
  %a = f32[8,128]{LAYOUT} parameter(0)
  %r = f32[8,128]{LAYOUT} all-reduce(%a), channel_id=3, {ALL}, to_apply=%add
  ROOT %s = f32[1,128] dynamic-slice(%r, %a), dynamic_slice_sizes={{1,128}}
}}
""",
        )
    )
    assert made.collectives[0]["kind"] == "reduce-scatter (fused)"
    assert made.seconds == pytest.approx(BYTES * 15 / 16 / (2 * LINK))


def test_a_collective_within_computation_costs_what_is_longer(estimated):
    def made(number):
        return estimated(
            program(
                f"%f = f32[8,128]{LAYOUT} fusion(%p), calls=%middle, {cycles(number)}",
                before=ASYNC_START,
            )
        )

    assert made(1).seconds == pytest.approx(15 * BYTES / (2 * LINK))
    assert made(1_000_000).seconds == pytest.approx(1_000_000 / CLOCK)


ON_SPARSE_CORE = f"""%sc (a: f32[8,128]) -> f32[8,128] {{
  %a = f32[8,128]{LAYOUT} parameter(0)
  ROOT %r = f32[8,128]{LAYOUT} all-reduce(%a), channel_id=3, {ALL}
}}, execution_thread="sparsecore"

%gather (a.1: f32[8,128]) -> f32[8,128] {{
  %a.1 = f32[8,128]{LAYOUT} parameter(0)
  ROOT %g = f32[8,128]{LAYOUT} fusion(%a.1), kind=kCustom, calls=%none
}}, execution_thread="sparsecore"
"""


@pytest.mark.parametrize(
    ("start", "names"),
    [
        ("call-start(), to_apply=%sc", "call"),
        ("custom-call-start(%p), called_computations={%sc}", "custom-call"),
    ],
)
def test_a_collective_on_the_sparse_core_runs_beside_the_tensor_core(estimated, start, names):
    def made(number):
        return estimated(
            program(
                f"%s = ((), (), (s32[1])) {start}",
                f"%u = ((f32[8,128]), f32[8,128]) {names}-update(%s, %p)",
                vector("meanwhile", number),
                f"%d = f32[8,128] {names}-done(%u)",
                before=ON_SPARSE_CORE,
            )
        )

    wire_s = 2 * BYTES * 15 / 16 / (2 * LINK)
    (row,) = made(30).collectives
    assert (row["kind"], row["count"], row["num_bytes"]) == ("all-reduce (SparseCore)", 1, BYTES)
    assert row["waited_s"] == pytest.approx(wire_s - 30 / CLOCK)
    assert made(30).seconds == pytest.approx(wire_s)
    assert made(10_000).seconds == pytest.approx(10_000 / CLOCK)


def test_a_gather_on_the_sparse_core_costs_its_traffic(estimated):
    made = estimated(
        program(
            "%s = ((f32[8,128]), f32[8,128], u32[]) call-start(%p), to_apply=%gather",
            "%d = f32[8,128] call-done(%s)",
            before=ON_SPARSE_CORE,
        )
    )
    assert made.seconds == made.classes_s["copy"] == pytest.approx(2 * BYTES / HBM)


def test_slices_are_joined_by_the_network_between_them(estimated):
    key = '_xla_host_transfer_rendezvous="all-reduce.4_0"'
    attributes = f'frontend_attributes={{{key},_xla_megascale_transfer_type="ALL_REDUCE"}}'
    made = estimated(
        program(
            "%token = token[] after-all()",
            f"%send = (f32[8,128], u32[], token[]) send(%p, %token), channel_id=2, {attributes}",
            f"%recv = (f32[8,128], u32[], token[]) recv(%token), channel_id=1, {attributes}",
            "%sent = token[] send-done(%send), channel_id=2",
            "%got = (f32[8,128], token[]) recv-done(%recv), channel_id=1",
        ),
        "2xv5e-16",
    )
    assert made.seconds == pytest.approx(2 * BYTES / 2 / 3.125e9)
    assert made.collectives[0]["kind"] == "all-reduce between slices"


def kernel(name, result, extra=""):
    return program(
        f'%k = {result} custom-call(%p), custom_call_target="tpu_custom_call", {extra}'
        f'metadata={{op_name="jit(step)/transpose(jvp({name}))/pallas_call"}}'
    )


SPLASH = (
    'frontend_attributes={kernel_metadata={"x":"{\\"block_q\\": 1024, \\"block_kv\\": 1024}"}}, '
)


def test_a_kernel_is_priced_by_its_counted_cycles(estimated):
    made = estimated(kernel("splash_mha_fwd_residuals", "bf16[8,12,1024,64]", SPLASH))
    assert made.seconds == pytest.approx(96 * 6421 / CLOCK)
    assert made.kernels == [
        {
            "name": "splash_mha_fwd_residuals",
            "basis": "counted cycles",
            "calls": 1,
            "seconds": made.seconds,
        }
    ]


def test_without_counted_cycles_an_efficiency_is_assumed_and_said(estimated):
    forward = estimated(kernel("attention_forward_512x64", "bf16[4,512,768]"))
    assert forward.kernels[0]["basis"] == "assumed efficiency"
    # Two products of T × T × 128 lanes for each of 4 × 12 heads, half of it masked.
    flops = 2 * 48 * 512 * 512 * 128
    assert forward.seconds == pytest.approx(flops / (197e12 / 2))
    backward = estimated(kernel("attention_backward_512x64", "bf16[4,512,768]"))
    assert backward.seconds == pytest.approx(5 / 2 * forward.seconds)


def test_an_unknown_kernel_costs_its_traffic(estimated):
    made = estimated(kernel("sort", "f32[8,128]"))
    assert made.kernels[0]["basis"] == "memory traffic"
    assert made.seconds == pytest.approx(2 * BYTES / HBM)


def test_the_cores_of_a_chip_share_out_a_kernel(estimated):
    settings = SPLASH.replace("1024", "512")
    made = estimated(kernel("splash_mha_fwd", "bf16[8,12,1024,64]", settings), "v5p-8")
    assert made.seconds == pytest.approx(96 * 6253 / 1.75e9 / 2)
