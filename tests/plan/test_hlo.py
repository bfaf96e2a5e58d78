"""The reader of scheduled HLO."""

from jgpt2.plan import hlo, loops
from tests.plan.conftest import LAYOUT, cycles, program

PRODUCT = f"""%fused (a: f32[8,128]) -> f32[8,128] {{
  %a = f32[8,128]{LAYOUT} parameter(0)
  ROOT %c = f32[8,128]{LAYOUT} convolution(%a, %a), dim_labels=bf_io->bf
}}
"""


def test_names_shapes_operands_and_attributes():
    module = hlo.parse(
        program(
            f"%fusion.1 = (bf16[8,128]{LAYOUT}, s32[]{{:S(2)}}) fusion(%p, %p), kind=kOutput, "
            f'calls=%fused, metadata={{op_name="jit(step)/dot" stack_frame_id=1}}, {cycles(99)}',
            f"ROOT %get.2 = bf16[8,128]{LAYOUT} get-tuple-element(%fusion.1), index=0",
            before=PRODUCT,
        )
    )
    assert list(module.computations) == ["fused", "main"]
    parameter, fusion, root = module.entry.instructions
    assert (parameter.opcode, parameter.literal) == ("parameter", "0")
    assert fusion.operands == ("p", "p")
    assert fusion.num_bytes == 8 * 128 * 2 + 4
    assert fusion.estimated_cycles == 99
    assert fusion.op_name == "jit(step)/dot"
    assert fusion.called("calls") == "fused"
    assert module.entry.operand_bytes(fusion) == 2 * 8 * 128 * 4
    assert module.entry.root is root
    assert root.estimated_cycles is None
    assert root.op_name == "get.2"
    opcodes = [line.opcode for _, line in module.inside("main")]
    assert opcodes == ["parameter", "fusion", "parameter", "convolution", "get-tuple-element"]


def test_attributes_may_hold_line_breaks():
    module = hlo.parse(
        program(
            '%kernel.1 = f32[8,128] custom-call(%p), custom_call_target="tpu_custom_call", '
            "frontend_attributes={kernel_metadata={\n"
            '"xprof_metadata":"{\\"block_q\\": 512}"\n'
            '}}, metadata={op_name="jit(step)/attention_forward/pallas_call"}',
            f"ROOT %copy.1 = f32[8,128]{LAYOUT} copy(%kernel.1), {cycles(5)}",
        )
    )
    kernel, copy = module.entry.instructions[1:]
    assert kernel.op_name.endswith("/pallas_call")
    assert '\\"block_q\\": 512' in kernel.attributes
    assert copy.estimated_cycles == 5


def test_comments_between_operands_and_nested_tuples():
    module = hlo.parse(
        program(
            "%start = ((f32[8,128]{1,0}), f32[4,128]{1,0:T(8,128)S(1)}, s32[]) "
            "slice-start(%p, /*index=1*/%p), slice={[0:4], [0:128]}",
        )
    )
    (start,) = module.entry.instructions[1:]
    assert [array.num_bytes for array in start.arrays] == [4096, 2048, 4]
    assert start.operands == ("p", "p")


CONDITION = """%cond (t: (s32[], f32[8,128])) -> pred[] {
  %t = (s32[], f32[8,128]) parameter(0)
  %i = s32[] get-tuple-element(%t), index=0
  %bound = s32[] constant(BOUND)
  ROOT %lt = pred[] compare(%i, %bound), direction=LT
}

%body (t.1: (s32[], f32[8,128])) -> (s32[], f32[8,128]) {
  %t.1 = (s32[], f32[8,128]) parameter(0)
  %i.1 = s32[] get-tuple-element(%t.1), index=0
  %x.1 = f32[8,128] get-tuple-element(%t.1), index=1
  %step = s32[] constant(STEP)
  %next = s32[] add(%i.1, %step)
  %carried = s32[] copy(%next)
  ROOT %out = (s32[], f32[8,128]) tuple(%carried, %x.1)
}
"""
LOOP = "%loop = (s32[], f32[8,128]) while(%p), condition=%cond, body=%body"


def trips(bound, step, loop=LOOP):
    before = CONDITION.replace("BOUND", str(bound)).replace("STEP", str(step))
    module = hlo.parse(program(loop, before=before))
    return loops.trip_count(module, module.entry.by_name["loop"])


def test_the_trip_count_follows_from_bound_and_step():
    assert trips(24, 1) == 24
    assert trips(15, 2) == 8


def test_a_printed_trip_count_counts_first():
    printed = LOOP + ', backend_config={"known_trip_count":{"n":"7"}}'
    assert trips(24, 1, printed) == 7


def test_a_loop_without_a_bound_has_no_trip_count():
    module = hlo.parse(
        program(LOOP, before=CONDITION.replace("%bound = s32[] constant(BOUND)", "").replace(
            "STEP", "1")))  # fmt: skip
    assert loops.trip_count(module, module.entry.by_name["loop"]) is None
