#!/usr/bin/env bash
# torch 2.13.0 on a CPU: the gradient of a GRU over a packed sequence (pack_padded_sequence) writes
# a number of values that grows with the square of the length. Autograd takes the gradient of each
# step's slice as a tensor of zeros as long as the whole input. The same GRU over the padded batch
# writes a number that grows with the length. With utterances of some seconds, at 50 steps per second,
# packing, which is meant to save work on padding, costs more than the padding.
#
# Counted, not timed: values filled with zeros in the backward pass, by torch's profiler.
# zerochain runs each direction over the padded batch on a CPU (zerochain/modules/recurrence.py).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import math

import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence
from torch.profiler import ProfilerActivity, profile

print("torch", torch.__version__)
torch.manual_seed(0)
gru = nn.GRU(16, 16, batch_first=True)


def filled(n_steps, packed):
    x = torch.randn(4, n_steps, 16, requires_grad=True)
    given = x
    if packed:
        given = pack_padded_sequence(x, torch.full((4,), n_steps), batch_first=True)
    y = gru(given)[0]
    loss = (y.data if packed else y).square().sum()
    with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as found:
        loss.backward()
    return sum(
        math.prod(event.input_shapes[0])
        for event in found.events()
        if event.name in {"aten::fill_", "aten::zero_"} and event.input_shapes[0]
    )


growth = {}
for packed in (True, False):
    counts = [filled(n, packed) for n in (100, 200, 400)]
    growth[packed] = counts[2] / counts[1] if counts[1] else 0.0
    print("packed" if packed else "padded", "values filled at 100, 200, 400 steps:", counts)
assert growth[True] > 3.5, growth
assert growth[False] < 2.5, growth
print("as found: a packed sequence's gradient is quadratic in its length, a padded one's is not")
PYTHON
