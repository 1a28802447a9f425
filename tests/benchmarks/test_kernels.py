"""Kernels and the bytes that they move are counted as an optimised program lists them."""

# ruff: noqa: E501  # lines as XLA writes them

from benchmarks.kernels import counted

PROGRAM = """HloModule jit_step, is_scheduled=true

%added (param_1.3: f32[1000], param_0.2: f32[]) -> f32[10] {
  %param_1.3 = f32[1000]{0} parameter(1)
  %param_0.2 = f32[] parameter(0)
  %whole = f32[1000]{0} broadcast(%param_0.2), dimensions={}
  %sum = f32[1000]{0} add(%param_1.3, %whole)
  ROOT %part = f32[10]{0} slice(%sum), slice={[5:15]}
}

%turned (param_0: bf16[3,3,8,4]) -> bf16[4,3,3,8] {
  %param_0 = bf16[3,3,8,4]{3,2,1,0} parameter(0)
  ROOT %transpose.1 = bf16[4,3,3,8]{3,2,1,0} transpose(%param_0), dimensions={3,0,1,2}
}

ENTRY %main (x: bf16[2,9,9,8], k: bf16[3,3,8,4], m: f32[1000], s: f32[]) -> (bf16[2,7,7,4], f32[10]) {
  %x = bf16[2,9,9,8]{3,2,1,0} parameter(0), metadata={op_name="x"}
  %k = bf16[3,3,8,4]{3,2,1,0} parameter(1)
  %m = f32[1000]{0} parameter(2)
  %s = f32[] parameter(3)
  %input_transpose_fusion = bf16[4,3,3,8]{3,2,1,0} fusion(%k), kind=kInput, calls=%turned
  %cudnn-conv.1 = (bf16[2,7,7,4]{3,2,1,0}, u8[0]{0}) custom-call(%x, %input_transpose_fusion), dim_labels=b01f_o01i->b01f, custom_call_target="__cudnn$convForward"
  %get-tuple-element.1 = bf16[2,7,7,4]{3,2,1,0} get-tuple-element(%cudnn-conv.1), index=0
  %loop_add_fusion = f32[10]{0} fusion(%s, %m), kind=kLoop, calls=%added
  ROOT %tuple.1 = (bf16[2,7,7,4]{3,2,1,0}, f32[10]{0}) tuple(%get-tuple-element.1, %loop_add_fusion)
}
"""


def test_each_instruction_of_the_entry_that_computes_is_a_kernel_of_its_kind():
    assert counted(PROGRAM)[0] == {"transposes": 1, "convolutions": 1, "other": 1}


def test_bytes_are_those_of_operands_and_results_and_of_slices_only_their_part():
    kernel, films, result = 2 * 288, 2 * 1296, 2 * 392
    sliced = 4 * (10 + 10 + 1)  # ten of a thousand values, and the number added to each
    assert counted(PROGRAM)[1] == 2 * kernel + (films + kernel + result) + sliced
