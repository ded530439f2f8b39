# SPDX-License-Identifier: MIT
"""torch_utils - a pipe for tensors. torch itself is not needed until there is one."""

from __future__ import annotations

from typing import Any

from pipeline.objects.pipes import pipe


@pipe
def tensor_to_list(input_tensor: Any) -> list:  # type: ignore[type-arg]  # of lists, as deep as the tensor
    """Its numbers, as JSON has them."""
    return input_tensor.cpu().detach().double().tolist()  # type: ignore[no-any-return]  # of torch's
