"""Models are validated as they are used: on a coarse volume without its truth, in any units."""

import numpy as np
import torch
from training.runs import CPU, TINY

from ArSSRLib.model.registry import build_model
from ArSSRLib.training.validation import predict


def test_a_coarse_volume_is_judged_in_its_own_range():
    torch.manual_seed(0)
    model = build_model(TINY)
    torch.nn.init.normal_(model.output.weight)  # a residual besides the spline
    coarse = torch.rand((5, 6, 7), generator=torch.Generator().manual_seed(1))

    plain = predict(model, coarse, (10, 12, 14), CPU)
    brighter = predict(model, 300 * coarse, (10, 12, 14), CPU)

    np.testing.assert_allclose(brighter / 300, plain, rtol=0, atol=1e-5)
