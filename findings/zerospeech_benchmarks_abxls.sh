#!/usr/bin/env bash
# What zerospeech-benchmarks, the toolkit of the ZeroSpeech challenges, accepts as a submission to
# abxLS, the benchmark that replaced the phonetic part of ZeroSpeech 2021.
#
# Surprising:
# 1. Arrays have to be float64: float32, the output of every network, is refused file by file.
# 2. A submission without params.yaml isn't refused. The toolkit adds one with a frame shift of
#    10 ms: features with a shift of 20 ms are scored at half their times.
# 3. The challenge's own layout of 2021 (phonetic/dev-clean/….txt) doesn't work: no file is found.
#
# zerochain export zerospeech2021 --layout abxLS writes float64 and params.yaml, and zerochain
# check zerospeech2021 reports what is missing in either layout.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install -q zerospeech-benchmarks==0.9.4
export HOME=$work  # it keeps an index of downloads there, and fetches none where it is old
mkdir zr-data && echo '{}' > zr-data/repo.json && touch -d 2000-01-01 zr-data/repo.json
cat > try.py <<'PY'
import functools, warnings
from importlib.metadata import version
from pathlib import Path
warnings.simplefilter("ignore")
import numpy as np
from zerospeech import validators
from zerospeech.submissions.abxLS import AbxLSSubmission

print("zerospeech-benchmarks", version("zerospeech-benchmarks"))

def errors(root: Path) -> tuple[list[str], int]:
    """As its AbxLSSubmissionValidator does, which needs the downloaded data for the file names."""
    submission, found = AbxLSSubmission.load(root), []
    checks = [
        functools.partial(validators.numpy_dtype_check, dtype=np.dtype("float")),
        functools.partial(validators.numpy_dimensions_check, ndim=2),
    ]
    for name, item in submission.items:
        results = validators.numpy_array_list_check(item, [], checks)
        found += [f"{name}: {result}" for result in results if not result.ok()]
    n_files = sum(len(item.files_list) for _, item in submission.items)
    print(root, "files:", n_files, "frame shift:", submission.params.feature_size, "errors:", found)
    return found, n_files

for dtype in ("float64", "float32"):
    for subset in ("dev-clean", "dev-other", "test-clean", "test-other"):
        folder = Path(dtype, subset)
        folder.mkdir(parents=True)
        np.save(folder / "u.npy", np.ones((5, 3), dtype))
assert errors(Path("float64")) == ([], 4)
assert len(errors(Path("float32"))[0]) == 4
assert "feature_size: 0.01" in Path("float64/params.yaml").read_text()
old = Path("old/phonetic/dev-clean")
old.mkdir(parents=True)
(old / "u.txt").write_text("1 2\n3 4\n")
assert errors(Path("old"))[1] == 0
PY
venv/bin/python try.py 2>&1
