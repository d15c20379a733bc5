#!/usr/bin/env bash
# torch 2.13.0: the gradient of ctc_loss is only correct behind a log_softmax.
#
# Surprising: ctc_loss takes log probabilities, and its value is right for any. Its gradient has the
# probabilities added, as if it were that of the scores before a log_softmax. Behind one, what is too
# much cancels. Anything in between is trained by a wrong gradient, without an error: a weight on
# scores, priors of labels that are subtracted, a mixture of two models, classes that are merged. A
# log_softmax of what results corrects it only where rows should sum to one.
#
# zerochain's three uses of ctc_loss take a log_softmax directly (translation/task.py,
# speechchain/recogniser.py, listeners/recogniser.py).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import torch
from torch.nn.functional import ctc_loss

print("torch", torch.__version__)
torch.manual_seed(0)
n_steps, n_classes, small = 6, 4, 1e-6
labels, lengths = torch.tensor([[1, 2]]), (torch.tensor([n_steps]), torch.tensor([2]))


def loss(log_probabilities):
    return ctc_loss(log_probabilities, labels, *lengths, reduction="sum")


def errors(of, x):
    """The largest difference between torch's gradient and that of finite differences."""
    x = x.clone().requires_grad_()
    of(x).backward()
    numeric = torch.zeros_like(x)
    with torch.no_grad():
        for place in torch.cartesian_prod(*(torch.arange(n) for n in x.shape)):
            step = torch.zeros_like(x)
            step[tuple(place)] = small
            numeric[tuple(place)] = (of(x + step) - of(x - step)) / (2 * small)
    return x.grad - numeric


scores = torch.randn(n_steps, 1, n_classes, dtype=torch.float64)
prior = torch.tensor([0.7, 0.1, 0.1, 0.1], dtype=torch.float64).log()
behind = errors(lambda x: loss(x.log_softmax(-1)), scores).abs().max().item()
alone = errors(loss, scores.log_softmax(-1))
priors = errors(lambda x: loss(x.log_softmax(-1) - prior), scores).abs().max().item()
print(f"error of the gradient behind log_softmax: {behind:.1e}")
print(f"for log probabilities: {alone.abs().max():.3f}, the probabilities themselves")
print(f"behind log_softmax and label priors: {priors:.3f}")
assert behind < 1e-6
assert torch.allclose(alone, scores.softmax(-1), atol=1e-6)
assert priors > 0.1
print("as found: the gradient is only correct behind log_softmax")
PYTHON
