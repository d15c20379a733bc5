#!/usr/bin/env bash
# pocketsphinx 5.1.1: what a Decoder recognises depends on the recordings before. Its estimates of
# the channel and of the noise go on from one utterance to the next, with cmn="batch" as well, and
# set_cmn() resets only one of them: a score depends on the order of the files.
#
# Decoder.reinit_feat() before each utterance makes it independent, at little cost; a new Decoder
# gives the same (zerochain/listeners/outside.py).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet pocketsphinx==5.1.1 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
from pocketsphinx import Decoder

t = np.arange(24_000) / 16_000
buzz = sum(np.sin(2 * np.pi * 120 * k * t * (1 + 0.1 * np.sin(t * 4))) / k for k in range(1, 20))
wave = 0.1 * buzz * (np.sin(2 * np.pi * 3 * t) > -0.3)
noise = 0.3 * np.random.default_rng(1).normal(size=16_000)


def costs(decoder, wave):
    decoder.start_utt()
    decoder.process_raw((np.clip(wave, -1, 1) * 32767).astype("<i2").tobytes(), full_utt=True)
    decoder.end_utt()
    return decoder.hyp() and (decoder.hyp().hypstr, decoder.hyp().score)


first = costs(Decoder(samprate=16_000, loglevel="FATAL"), wave)
used = Decoder(samprate=16_000, loglevel="FATAL")
costs(used, noise)
after = costs(used, wave)
used.reinit_feat()
reset = costs(used, wave)
print("alone", first, "after noise", after, "after reinit_feat", reset)
assert first != after
assert first == reset
print("as found: a decoder goes on from the recordings before, until reinit_feat()")
PYTHON
