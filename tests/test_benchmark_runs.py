"""Each benchmark's recipe on a tiny copy in its true layout: doctor, train, evaluate, by the real commands."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
RECIPES = {
    "phoenix2014": "phoenix2014.yaml",
    "phoenix2014-t": "phoenix2014t.yaml",
    "csl-daily": "csl_daily.yaml",
    "csl": "csl.yaml",
    "ce-csl": "ce_csl.yaml",
}
TINY = {
    "clip": "",
    "image_size": 32,
    "patch_size": 16,
    "vision_width": 16,
    "vision_layers": 1,
    "vision_heads": 2,
    "feature_size": 16,
    "hidden_size": 16,
    "epochs": 1,
    "num_workers": 0,
    "mixed_precision": "no",
    "min_frames": 8,
}


def run(*command: object) -> str:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, *map(str, command)], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("layout", RECIPES)
def test_a_copy_is_checked_trained_on_and_scored(plant_tree, layout, tmp_path):
    tree = plant_tree(layout)
    run("-m", "adaptsign_hf.cli", "doctor", tree.benchmark, tree.root, "--json", tmp_path / "doctor.json", "--quiet")
    findings = json.loads((tmp_path / "doctor.json").read_text(encoding="utf-8"))
    assert findings

    flags = [text for name, value in TINY.items() for text in (f"--{name}", str(value))]
    recipe = ROOT / "configs" / RECIPES[layout]
    output = tmp_path / "run"
    run("train.py", "--config", recipe, "--data_dir", tree.root, "--output_dir", output, "--quiet", *flags)
    report = json.loads((output / "report.json").read_text(encoding="utf-8"))

    scored = run(
        *("-m", "adaptsign_hf.cli", "evaluate", output / "model", tree.root),
        *("--dataset", tree.benchmark, "--split", "test", "--quiet"),
    )
    assert f"WER {100 * report['scores']['test']['wer']:.2f} %" in scored
