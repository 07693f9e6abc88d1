"""`adaptsign push`: what a run left, on the Hub; and the dataset card of `adaptsign prepare --push-to-hub`."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from huggingface_hub import ModelCard, metadata_load

from adaptsign_hf.data.prepared import publishing as datasets_on_the_hub
from adaptsign_hf.hub import publishing

from .conftest import TINY_MODEL

ROOT = Path(__file__).parents[2]


@pytest.fixture
def trained(corpus, tmp_path):
    """What `train.py` leaves."""
    sizes = {name: value for name, value in vars(TINY_MODEL).items() if name.endswith(("_size", "_width", "_layers"))}
    fields = {
        **sizes,
        "vision_heads": 2,
        "data_dir": corpus,
        "output_dir": tmp_path / "run",
        "dev_split": "test",
        "min_frames": 8,
        "epochs": 1,
        "quiet": True,
    }
    flags = [text for name, value in fields.items() for text in (f"--{name}", str(value))]
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(ROOT / "train.py"), *flags]
    subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True, timeout=120)
    return tmp_path / "run"


@pytest.fixture
def hub(monkeypatch):
    """Stands in for the Hub; keeps the files of the last upload by name."""
    kept = {}

    class Repository(str):
        repo_id = "user/signs"

    class Api:
        def whoami(self):
            return {"name": "user"}

        def create_repo(self, repo_id, **options):
            kept["created"] = (repo_id, options)
            return Repository(f"https://huggingface.co/{repo_id}")

        def upload_folder(self, folder_path, allow_patterns=None, **options):
            folder = Path(folder_path)
            kept["allowed"] = allow_patterns
            kept["files"] = {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    monkeypatch.setattr(publishing, "HfApi", Api)
    monkeypatch.setattr(datasets_on_the_hub, "HfApi", Api)
    return kept


def test_a_dry_run_of_a_real_run(adaptsign, trained, tmp_path):
    result = adaptsign("push", trained / "model", "user/signs", "--dry-run", "--license", "mit", "--language", "gsg")
    assert result.code == 0, result.stderr
    folder = trained / "model_hub"
    first, *lines = result.stdout.splitlines()
    assert first == f"{folder}: what would be pushed to user/signs"
    sizes = {line.split()[1]: int(line.split()[0].replace(",", "")) for line in lines}
    assert sizes == {path.name: path.stat().st_size for path in folder.iterdir()}
    report = json.loads((trained / "report.json").read_text())
    card = ModelCard.load(folder / "README.md")
    assert (card.data.license, card.data.language) == ("mit", "gsg")
    assert {result.dataset_split: result.metric_value for result in card.data.eval_results} == {
        split: score["wer"] for split, score in report["scores"].items()
    }
    assert f"Cost: {report['seconds']['training']} seconds of training" in card.text
    assert "invented signs" in card.text  # the corpus is a rendered one, and its folder says so
    for path in folder.iterdir():
        assert str(tmp_path).encode() not in path.read_bytes(), path


def test_a_push_uploads_what_a_dry_run_writes(adaptsign, model_folder, hub, tmp_path):
    options = ("--dataset", "a/b", "--dataset", "c/d", "--base-model", "openai/clip")
    assert (
        adaptsign("push", model_folder, "user/signs", "--dry-run", "--output-dir", tmp_path / "o", *options).code == 0
    )
    result = adaptsign("push", model_folder, "user/signs", *options)
    assert result.code == 0, result.stderr
    assert result.stdout.endswith("https://huggingface.co/user/signs\n")
    assert hub["files"] == {path.name: path.read_bytes() for path in (tmp_path / "o").iterdir()}
    metadata = metadata_load(tmp_path / "o" / "README.md")
    assert (metadata["datasets"], metadata["base_model"]) == (["a/b", "c/d"], "openai/clip")


def test_who_is_not_logged_in_is_told_before_anything_else(adaptsign, model_folder, monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "none"))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    result = adaptsign("push", model_folder, "user/signs")
    assert (result.code, result.stdout) == (1, "")
    assert result.stderr.startswith("error: Pushing to user/signs on the Hub: ")
    assert result.stderr.count("\n") == 1


def test_what_is_no_model_ends_with_one_line(adaptsign, tmp_path):
    result = adaptsign("push", tmp_path / "nowhere", "user/signs", "--dry-run")
    assert (result.code, result.stdout) == (1, "")
    assert result.stderr == (
        f"error: Publishing {tmp_path / 'nowhere'}: there is no such folder. "
        "Expected one of a model, such as runs/quickstart/model.\n"
    )


def test_an_output_folder_is_for_a_dry_run(adaptsign, model_folder, tmp_path):
    result = adaptsign("push", model_folder, "user/signs", "--output-dir", tmp_path / "out")
    assert result.code == 2
    assert "--dry-run" in result.stderr


def test_help_tells_what_does_not_go_along(adaptsign):
    result = adaptsign("push", "--help")
    assert (result.code, result.stderr) == (0, "")
    for text in ("MODEL", "REPO", "--dry-run", "--private", "--license", "--language", "--dataset", "--report"):
        assert text in result.stdout


def test_a_prepared_folder_is_pushed_with_a_card(adaptsign, corpus, hub, tmp_path):
    arguments = ("prepare", "folder", corpus, tmp_path / "out", "--size", 32, "--num-workers", 0, "--quiet")
    assert adaptsign(*arguments, "--push-to-hub", "user/clips").code == 0
    assert "README.md" in hub["allowed"]
    card = hub["files"]["README.md"].decode()
    assert "| test | 3 |" in card
    assert hub["created"][1]["private"] is True
    (tmp_path / "out" / "README.md").write_text("my own")
    assert adaptsign(*arguments, "--push-to-hub", "user/clips").code == 0
    assert hub["files"]["README.md"] == b"my own"
