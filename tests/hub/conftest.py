"""What a training run leaves, made in a moment: a model, its processor and a report, with what must stay at home."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
from peft import PeftConfig

from adaptsign_hf import AdaptSignForCTC, AdaptSignProcessor
from adaptsign_hf.modeling.adapters_adaptsign import save_adapter
from adaptsign_hf.training.run import count_parameters

SECRETS = ("/home/anna", "anna_waves", "wandb-of-anna")


@dataclass
class Run:
    model: Path
    report: dict

    def write_report(self) -> Path:
        """Write what the test has made of the report, where training does."""
        path = self.model.parent / "report.json"
        path.write_text(json.dumps(self.report), encoding="utf-8")
        return path


@pytest.fixture
def processor() -> AdaptSignProcessor:
    return AdaptSignProcessor.from_glosses([f"G{number}" for number in range(10)], 32)


@pytest.fixture
def run(tiny_model, processor, tmp_path) -> Run:
    folder = tmp_path / "runs" / "mine" / "model"
    tiny_model.save_pretrained(folder)
    processor.save_pretrained(folder)
    tiny_model.freeze_backbone()
    trained, frozen = count_parameters(tiny_model)
    report = {
        "scores": {
            "dev": score(0.1234567890123, 3, 4, 5, 97, 31),
            "test": score(0.037037037037037035, 1, 2, 0, 81, 29),
        },
        "decoder": "greedy",
        "protocol": "raw",
        "seconds": {"training": 417.3, "total": 423.9},
        "parameters": {"trained": trained, "frozen": frozen},
        "clips": {"train": 611, "dev": 31, "test": 29},
        "left_out": [{"name": "anna_waves.mp4", "reason": "/home/anna/x is no video", "kind": "unreadable"}],
        "processes": 2,
        "device": "cuda:0",
        "versions": {"python": "3.11.7", "torch": "2.15.0"},
        "recipe": {
            "dataset": "folder",
            "data_dir": "/home/anna/videos",
            "output_dir": "/home/anna/runs/mine",
            "report_to": "wandb-of-anna",
            "vocabulary": "train",
            "dev_split": "dev",
            "clip": None,
            "pretrained": None,
            "seed": 1729,
            "epochs": 12,
            "quiet": True,
        },
        "history": [{"epoch": 1, "loss": 24.5, "dev_wer": 0.5}],
        "hypotheses": [{"file_name": "anna_waves.mp4", "hypothesis": "G1 G2"}],
    }
    made = Run(folder, report)
    made.write_report()
    return made


def score(wer, substitutions, deletions, insertions, reference_glosses, clips):
    return {
        "wer": wer,
        "substitutions": substitutions,
        "deletions": deletions,
        "insertions": insertions,
        "reference_glosses": reference_glosses,
        "clips": clips,
    }


@pytest.fixture
def adapter(tiny_clip, processor, disturb, tmp_path) -> Path:
    """An adapter directory that names its CLIP as the folder `tmp_path / "clip"`."""
    tiny_clip.save_pretrained(tmp_path / "clip")
    model = disturb(AdaptSignForCTC.from_clip(tmp_path / "clip", hidden_size=32, vocab_size=11).eval())
    save_adapter(model, tmp_path / "adapter", str(tmp_path / "clip"))
    processor.save_pretrained(tmp_path / "adapter")
    assert PeftConfig.from_pretrained(tmp_path / "adapter").base_model_name_or_path == str(tmp_path / "clip")
    return tmp_path / "adapter"
