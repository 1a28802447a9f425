"""A convolution unit starts as Keras's does."""

import numpy as np
import pytest
from flax import nnx

from pneumojax.nn.layers import Conv


def test_kernels_start_glorot_uniform_and_biases_at_zero():
    conv = Conv(48, 64, (3, 1), rngs=nnx.Rngs(0))
    limit = np.sqrt(6 / (3 * 48 + 3 * 64))  # fan in and fan out
    kernel = np.asarray(conv.kernel[...])
    assert 0.99 * limit < np.abs(kernel).max() <= limit
    # The standard deviation of 9,216 uniform draws is known to about 0.5 %.
    assert kernel.std() == pytest.approx(limit / np.sqrt(3), rel=0.03)
    assert not np.any(conv.bias[...])
