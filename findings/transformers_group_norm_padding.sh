#!/usr/bin/env bash
# HuBERT and wav2vec 2.0 base in transformers: features of an utterance depend on what it is batched
# with, attention mask or not.
#
# Surprising: the attention mask hides padding from the attention and from positions, so that batches
# look safe, as they are with the large checkpoints (feat_extract_norm="layer"). In base checkpoints
# ("group") the first convolution is normalised over all of time, padding included: padded to twice
# its length, an utterance is about 1.4 times as large there, and all layers above differ. Padding
# without a mask, as the documentation advises for these, changes as much. Units, ABX errors and
# whatever else is made of such features then depend on batch size and order.
#
# Shown with random weights, so that nothing is downloaded; the normalisation precedes all of them but
# the first. zerochain never pads for such checkpoints: it batches only windows of equal length
# (zerochain/features/ssl.py).
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install -q transformers==5.23.0 torch==2.13.0 numpy==2.4.6
cat > try.py <<'PY'
import warnings

warnings.simplefilter("ignore")
import torch
import transformers
from transformers import HubertConfig, HubertModel

transformers.utils.logging.set_verbosity_error()
print("transformers", transformers.__version__, "torch", torch.__version__)
n = 16_000
wave = torch.randn(1, n, generator=torch.Generator().manual_seed(0))
wave = (wave * (0.2 + torch.sin(torch.arange(n) / 800).abs())).sub(wave.mean())
wave = wave / wave.std()


def layers(model, padding, masked=True):
    """The first convolution's output and the last layer's, without the frames of padding."""
    x = torch.nn.functional.pad(wave, (0, padding))
    mask = torch.nn.functional.pad(torch.ones(1, n, dtype=torch.long), (0, padding))
    first = []
    convolution = model.feature_extractor.conv_layers[0]
    hook = convolution.register_forward_hook(lambda *call: first.append(call[-1]))
    with torch.no_grad():
        last = model(x, attention_mask=mask if masked else None).last_hidden_state
    hook.remove()
    return first[0][..., : n // 5 - 10], last[:, :49]


def difference(a, b):
    return float((a - b).norm() / a.norm())


found = {}
for norm in ("group", "layer"):
    torch.manual_seed(0)
    config = HubertConfig(
        feat_extract_norm=norm, hidden_size=64, num_hidden_layers=3, num_attention_heads=4,
        intermediate_size=128, conv_dim=(64,) * 7, num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=4,
    )
    model = HubertModel(config).eval()
    alone = layers(model, 0)
    for padding in (n // 10, n):
        padded = layers(model, padding)
        found[norm, padding] = last = difference(alone[1], padded[1])
        ratio = float(padded[0].norm() / alone[0].norm())
        unmasked = difference(alone[1], layers(model, padding, masked=False)[1])
        print(f"{norm}: one second, padded by {padding / n:g} s: the first convolution "
              f"{ratio:.2f} times as large, the last layer differs by {last:.1%}, "
              f"without a mask {unmasked:.1%}")
        assert norm == "layer" or unmasked > 0.9 * last
assert found["layer", n] < 1e-3 and found["layer", n // 10] < 1e-3
assert found["group", n // 10] > 0.02
assert found["group", n] > 0.2
PY
venv/bin/python try.py
