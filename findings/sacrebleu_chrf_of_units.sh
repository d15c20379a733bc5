#!/usr/bin/env bash
# sacrebleu's chrF of discovered units that are written as numbers.
#
# Surprising: chrF leaves out spaces, as is right for text. Of units it thereby loses where one ends
# and the next begins: sequences that don't share a single unit have a chrF of 100 if their digits
# agree. And units that have a digit in common count as similar, though numbers of units mean nothing:
# with the units renamed, for both sides alike, the score is another. BLEU, of whole units, is not
# affected.
#
# zerochain's chrF of units takes each unit as one character (zerochain/metrics/translation.py).
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install -q sacrebleu==2.6.0
cat > try.py <<'PY'
import random

import sacrebleu

print("sacrebleu", sacrebleu.__version__)
chrf = sacrebleu.corpus_chrf(["12 34 56 78 90"], [["1 23 4 567 8 9 0"]]).score
print(f"no unit in common, the same digits: chrF {chrf:.1f}")
assert chrf == 100

draw = random.Random(0)
reference = [draw.randrange(100) for _ in range(500)]
output = [unit if draw.random() < 0.5 else draw.randrange(100) for unit in reference]
names = {"as they are": range(100), "plus 1000": range(1000, 1100)}
found = {}
for name, renamed in names.items():
    a, b = (" ".join(str(renamed[unit]) for unit in units) for units in (output, reference))
    found[name] = sacrebleu.corpus_chrf([a], [[b]]).score, sacrebleu.corpus_bleu([a], [[b]]).score
    print(f"units {name}: chrF {found[name][0]:.1f}, BLEU {found[name][1]:.1f}")
(chrf, bleu), (other_chrf, other_bleu) = found.values()
assert abs(chrf - other_chrf) > 5
assert abs(bleu - other_bleu) < 1e-9
PY
venv/bin/python try.py
