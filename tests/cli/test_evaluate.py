import csv
import subprocess
import sys

import pytest

from adaptsign_hf.inference.evaluation import evaluate_folder
from adaptsign_hf.inference.loading import load_model


@pytest.fixture
def expected(model_folder, corpus):
    return evaluate_folder(*load_model(model_folder, "cpu"), corpus, "test", quiet=True)


def test_the_score_is_one_line(adaptsign, model_folder, corpus, expected):
    result = adaptsign("evaluate", model_folder, corpus, "--quiet")
    assert (result.code, result.stdout) == (0, f"test: {expected.errors}\n")
    for text in ("WER ", " substitutions, ", " deletions, ", " insertions; ", "in 3 clips"):
        assert text in result.stdout
    assert expected.errors.substitutions  # else there is nothing to compare


def test_the_real_command(model_folder, corpus, expected):
    command = [sys.executable, "-m", "adaptsign_hf.cli", "evaluate", str(model_folder), str(corpus)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (result.returncode, result.stdout) == (0, f"test: {expected.errors}\n")
    (line,) = result.stderr.splitlines()
    assert "not in the model's vocabulary" in line


def test_hypotheses_are_written(adaptsign, model_folder, corpus, expected, tmp_path):
    result = adaptsign("evaluate", model_folder, corpus, "--hypotheses", tmp_path / "read.csv", "--batch-size", 2)
    assert result.code == 0
    with (tmp_path / "read.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert rows == [
        {"file_name": clip.name, "reference": " ".join(clip.glosses), "hypothesis": hypothesis}
        for clip, hypothesis in zip(expected.clips, expected.hypotheses, strict=True)
    ]
    assert len(rows) == 3


def test_another_split_can_be_scored(adaptsign, model_folder, corpus):
    result = adaptsign("evaluate", model_folder, corpus, "--split", "train")
    assert result.code == 0
    assert result.stdout.startswith("train: WER ")
    assert result.stdout.endswith(" in 1 clips)\n")


def test_a_clip_that_cannot_be_read_is_counted(adaptsign, model_folder, corpus, caplog):
    (corpus / "videos" / "testset_00001.mp4").write_bytes(b"")
    result = adaptsign("evaluate", model_folder, corpus)
    assert result.code == 0
    assert result.stdout.endswith(" in 2 clips); 1 clips left out\n")
    assert "testset_00001.mp4" in caplog.text  # pytest has taken the handler of standard error


def test_strict_makes_it_an_error(adaptsign, model_folder, corpus):
    (corpus / "videos" / "testset_00001.mp4").write_bytes(b"")
    result = adaptsign("evaluate", model_folder, corpus, "--strict")
    assert (result.code, result.stdout) == (1, "")
    assert "error: 1 clip left out:\n  videos/testset_00001.mp4: " in result.stderr


@pytest.mark.parametrize(
    ("options", "message"), [(("--split", "nothing"), "['test', 'train']"), (("--device", "warp drive"), "warp drive")]
)
def test_mistakes_are_told(adaptsign, model_folder, corpus, options, message):
    result = adaptsign("evaluate", model_folder, corpus, *options)
    assert (result.code, result.stdout) == (1, "")
    assert "error: " in result.stderr
    assert message in result.stderr


def test_a_missing_folder_is_told(adaptsign, model_folder, tmp_path):
    result = adaptsign("evaluate", model_folder, tmp_path / "nowhere")
    assert (result.code, result.stdout) == (1, "")
    assert f"error: Reading clips from {tmp_path / 'nowhere'}: there is no metadata.csv." in result.stderr


def test_a_missing_folder_of_hypotheses_is_told_before_anything_is_read(adaptsign, tmp_path):
    result = adaptsign("evaluate", "no_model", "no_data", "--hypotheses", tmp_path / "nowhere" / "read.csv")
    assert result.code == 1
    assert result.stderr == f"error: Writing {tmp_path}/nowhere/read.csv: there is no folder {tmp_path}/nowhere.\n"
