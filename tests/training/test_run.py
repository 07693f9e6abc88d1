import hashlib
import json
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCTC, AutoProcessor, set_seed

from adaptsign_hf.data.folder import clips_of_split, read_folder
from adaptsign_hf.inference.evaluation import evaluate_data
from adaptsign_hf.inference.loading import load_model
from adaptsign_hf.inference.recognition import recognize_video
from adaptsign_hf.training import loop
from adaptsign_hf.training import run as run_module
from adaptsign_hf.training.building import build_model_and_processor
from adaptsign_hf.training.configuration import parse_training_config

TRAIN = str(Path(__file__).parents[2] / "train.py")


def command_line(arguments, launcher=(), script=TRAIN):
    process = subprocess.Popen(
        [sys.executable, *launcher, script, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"},
    )
    try:
        stdout, stderr = process.communicate(timeout=120)
    finally:
        process.terminate()  # of a launcher that hangs, not killed: it ends its own processes too
        process.wait(30)
    return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)


def read_report(run_dir):
    return json.loads((run_dir / "report.json").read_text(encoding="utf-8"))


def check_scores(run_dir, corpus):
    """The scores of a report are those of the saved model, each clip of the split counted once."""
    model, processor = load_model(run_dir / "model", "cpu")
    scores = read_report(run_dir)["scores"]
    assert {split: score["clips"] for split, score in scores.items()} == {"dev": 3, "test": 2, "test_signer": 1}
    for split, score in scores.items():
        errors = evaluate_data(model, processor, corpus, split, quiet=True).errors
        assert score == {"wer": errors.wer, **vars(errors)}
    assert any(score["substitutions"] for score in scores.values())  # else there is nothing to compare


@pytest.fixture(scope="module")
def finished(tmp_path_factory, corpus, flags):
    """The folder and the command of one run through the real command line, at which most tests look."""
    run_dir = tmp_path_factory.mktemp("runs") / "first"
    result = command_line(flags(corpus, run_dir))
    assert result.returncode == 0, result.stderr
    return run_dir, result


def test_a_run_tells_what_it_does(finished):
    run_dir, result = finished
    assert result.stdout == ""
    for text in ("clips: 6 train, 3 dev, 2 test, 1 test_signer; 0 left out", "parameters: ", "epoch 2  loss ", "WER "):
        assert text in result.stderr
    assert f"report: {run_dir / 'report.json'}" in result.stderr
    assert "Warning" not in result.stderr


def test_a_run_writes_a_report(finished, corpus, flags):
    run_dir, _ = finished
    report = read_report(run_dir)
    check_scores(run_dir, corpus)
    assert report["clips"] == {"train": 6, "dev": 3, "test": 2, "test_signer": 1}
    assert report["left_out"] == []
    assert 0 < report["seconds"]["training"] <= report["seconds"]["total"]
    assert [row["epoch"] for row in report["history"]] == [1, 2]
    for row in report["history"]:
        total = row["sequence_loss"] + row["conv_loss"] + row["distillation_loss"]  # all three weigh 1 here
        assert row["loss"] == pytest.approx(total, rel=1e-4)
    assert min(row["dev_wer"] for row in report["history"]) == report["scores"]["dev"]["wer"]
    assert report["recipe"]["vision_width"] == 16
    model = load_model(run_dir / "model", "cpu")[0]
    frozen = sum(parameter.numel() for parameter in model.parameters() if not parameter.requires_grad)
    trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    assert report["parameters"] == {"trained": trained, "frozen": frozen}
    weights = run_dir / "model" / "model.safetensors"
    assert report["weights_sha256"] == {weights.name: hashlib.sha256(weights.read_bytes()).hexdigest()}
    assert (report["decoder"], report["protocol"]) == ("greedy", "raw")
    assert frozen > 3000


def test_a_run_writes_an_ordinary_model_folder(finished, corpus):
    folder = finished[0] / "model"
    assert {path.name for path in folder.iterdir()} >= {"config.json", "model.safetensors", "tokenizer.json"}
    model, processor = AutoModelForCTC.from_pretrained(folder).eval(), AutoProcessor.from_pretrained(folder)
    clips = read_folder(corpus)[0]
    glosses = {gloss for clip in clips_of_split(clips, "train") for gloss in clip.glosses}
    assert processor.tokenizer.glosses == sorted(glosses)
    own = load_model(folder, "cpu")
    read = [recognize_video(model, processor, clip.path) for clip in clips]
    assert read == [recognize_video(*own, clip.path) for clip in clips]
    assert any(read)


def test_what_is_frozen_stays_and_what_is_trained_moves(finished, corpus, flags):
    run_dir, _ = finished
    config = parse_training_config(flags(corpus, run_dir))
    saved = load_file(run_dir / "model" / "model.safetensors")
    processor = AutoProcessor.from_pretrained(run_dir / "model")
    set_seed(config.run.seed)
    initial, _ = build_model_and_processor(config.model, processor.tokenizer.glosses, None)
    for name, parameter in initial.named_parameters():
        assert torch.equal(saved[name], parameter) != parameter.requires_grad, name
    frozen = {name for name, parameter in initial.named_parameters() if not parameter.requires_grad}
    clip = {name for name in saved if ".vision_model." in name and ".adaptsign_" not in name}
    assert frozen == clip


def test_a_folder_with_a_model_is_not_overwritten(finished, corpus, flags):
    before = (finished[0] / "model" / "model.safetensors").read_bytes()
    with pytest.raises(SystemExit) as exit_:
        run_module.main(flags(corpus, finished[0]))
    assert "already holds a model" in exit_.value.code
    assert "--overwrite_output_dir" in exit_.value.code
    assert (finished[0] / "model" / "model.safetensors").read_bytes() == before


def test_a_folder_with_a_model_is_overwritten_when_asked(corpus, train_here, tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "old").touch()
    train_here(corpus, tmp_path, epochs=1, overwrite_output_dir=True)
    assert not (tmp_path / "model" / "old").exists()
    assert (tmp_path / "model" / "model.safetensors").exists()


def last_weights(run_dir):
    (checkpoint,) = (run_dir / "checkpoints").iterdir()  # older ones are gone
    return checkpoint.name, load_file(checkpoint / "model.safetensors")


class Interruption(Exception):
    pass


@pytest.mark.parametrize(
    ("stop_after", "options"),
    [
        (3, {}),
        (2, {"checkpointing_steps": 1}),
        (5, {"checkpointing_steps": 5, "cache_frames": True}),
        (1, {"checkpointing_steps": 1, "gradient_accumulation_steps": 2}),
    ],
)
def test_a_resumed_run_ends_as_an_uninterrupted_one(corpus, train_here, tmp_path, monkeypatch, stop_after, options):
    whole = train_here(corpus, tmp_path / "whole", **options)

    def save_then_stop(accelerator, folder, progress):
        save_checkpoint(accelerator, folder, progress)
        if progress.steps == stop_after and not stopped:
            stopped.append(True)
            raise Interruption

    save_checkpoint, stopped = loop.save_checkpoint, []
    monkeypatch.setattr(loop, "save_checkpoint", save_then_stop)
    with pytest.raises(Interruption):
        train_here(corpus, tmp_path / "cut", **options)
    assert not (tmp_path / "cut" / "report.json").exists()
    torch.manual_seed(999)
    resumed = train_here(corpus, tmp_path / "cut", resume_from_checkpoint=True, **options)
    name, weights = last_weights(tmp_path / "cut")
    whole_name, whole_weights = last_weights(tmp_path / "whole")
    assert name == whole_name
    for key, value in whole_weights.items():
        torch.testing.assert_close(weights[key], value, rtol=0, atol=1e-6, msg=key)
    assert resumed["scores"] == whole["scores"]
    assert [row["dev_wer"] for row in resumed["history"]] == [row["dev_wer"] for row in whole["history"]]


def test_resuming_without_a_checkpoint_is_told(corpus, flags, tmp_path):
    with pytest.raises(SystemExit) as exit_:
        run_module.main([*flags(corpus, tmp_path), "--resume_from_checkpoint"])
    assert exit_.value.code.startswith("error: Resuming the run: there is no checkpoint in ")


def test_the_same_seed_gives_the_same_model(corpus, train_here, tmp_path):
    weights = []
    for name, seed in (("first", 0), ("again", 0), ("other", 1)):
        train_here(corpus, tmp_path / name, seed=seed, epochs=1)
        weights.append(last_weights(tmp_path / name)[1])
    first, again, other = weights
    for name, value in first.items():
        torch.testing.assert_close(again[name], value, rtol=0, atol=1e-6)
    assert not torch.equal(first["classifier.weight"], other["classifier.weight"])


SCRIPT_THAT_TELLS = """
import sys
from adaptsign_hf.data.loading import ClipDataset
from adaptsign_hf.training import loop, run

def tell(*words):
    sys.stdout.write(" ".join(map(str, words)) + "\\n")
    sys.stdout.flush()

def get(self, index):
    if self.augmentation is not None:
        tell("item", self.epoch, index)
    return get_item(self, index)

def recognize(model, *arguments):
    tell("statistics", model.convolutions.blocks[0].batch_norm.running_mean.sum().item())
    return recognize_batches(model, *arguments)

get_item, ClipDataset.__getitem__ = ClipDataset.__getitem__, get
recognize_batches, loop.recognize_batches = loop.recognize_batches, recognize
run.main()
"""


def test_two_processes_train_on_each_clip_and_score_each_once(corpus, flags, tmp_path):
    # After each epoch only one process has a clip to score; at the end both have, but not equally many.
    splits = {"dev_split": "test_signer", "test_splits": ["dev", "test"]}
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2")
    (tmp_path / "tell.py").write_text(SCRIPT_THAT_TELLS)
    result = command_line(flags(corpus, tmp_path, batch_size=1, **splits), launcher, str(tmp_path / "tell.py"))
    assert result.returncode == 0, result.stderr
    told = [line.split() for line in result.stdout.splitlines()]
    items = sorted((int(words[1]), int(words[2])) for words in told if words[0] == "item")
    assert items == [(epoch, index) for epoch in range(2) for index in range(6)]
    statistics = Counter(words[1] for words in told if words[0] == "statistics")
    assert len(statistics) == 2  # of two epochs, in each the same in both processes
    assert all(count % 2 == 0 for count in statistics.values())
    assert read_report(tmp_path)["processes"] == 2
    assert result.stderr.count("report: ") == 1
    assert last_weights(tmp_path)[0] == "step_00000006"  # 6 clips, 2 at a step, 2 epochs
    check_scores(tmp_path, corpus)


def damage(corpus):
    """Break a video, give another more glosses than fit, and name one that is not there; return their names."""
    (corpus / "videos" / "trainset_00000.mp4").write_bytes(b"no video")
    metadata = corpus / "metadata.csv"
    lines = metadata.read_text().splitlines()
    assert lines[2].startswith("videos/trainset_00001.mp4,")
    lines[2] = lines[2].replace(",", "," + "SUN " * 60, 1)
    metadata.write_text("\n".join([*lines, "gone.mp4,SUN,,train"]) + "\n")
    return {"videos/trainset_00000.mp4", "videos/trainset_00001.mp4", "gone.mp4"}


def test_clips_that_cannot_be_used_are_named_and_left_out(own_corpus, flags, tmp_path):
    names = damage(own_corpus)
    result = command_line(flags(own_corpus, tmp_path / "run", epochs=1))
    assert result.returncode == 0, result.stderr
    report = read_report(tmp_path / "run")
    assert {clip["name"] for clip in report["left_out"]} == names
    assert report["clips"]["train"] == 4
    for clip in report["left_out"]:
        assert f"{clip['name']}: {clip['reason']}" in result.stderr


@pytest.mark.parametrize("cache_frames", [False, True])
def test_strict_makes_them_an_error(own_corpus, flags, tmp_path, cache_frames):
    names = damage(own_corpus)
    with pytest.raises(SystemExit) as exit_:
        run_module.main([*flags(own_corpus, tmp_path, cache_frames=cache_frames), "--strict"])
    assert exit_.value.code.startswith("error: 3 clips left out")
    assert all(name in exit_.value.code for name in names)
    assert not (tmp_path / "model").exists()


def test_a_clip_that_vanishes_does_not_end_a_run(own_corpus, train_here, tmp_path, monkeypatch, caplog):
    def open_then_lose(*arguments):
        corpus = open_corpus(*arguments)
        for split in ("train", "dev"):
            corpus.clips[split][0].path.unlink()
        return corpus

    open_corpus = run_module.open_corpus
    monkeypatch.setattr(run_module, "open_corpus", open_then_lose)
    report = train_here(own_corpus, tmp_path / "run", epochs=1, batch_size=1)
    assert report["scores"]["dev"]["clips"] == 3  # not read is not right
    assert torch.isfinite(torch.tensor(report["history"][0]["loss"]))
    assert "trainset_00000.mp4" in caplog.text


@pytest.mark.parametrize("dev_split", ["nothing", None])
def test_without_a_dev_split_the_last_model_is_kept(corpus, train_here, tmp_path, dev_split):
    report = train_here(corpus, tmp_path, dev_split=dev_split, test_splits=["test"])
    assert list(report["scores"]) == ["test"]
    saved = load_file(tmp_path / "model" / "model.safetensors")
    for name, value in last_weights(tmp_path)[1].items():
        assert torch.equal(saved[name], value), name


def test_a_saved_model_is_a_starting_point(finished, corpus, train_here, tmp_path):
    start = str(finished[0] / "model")
    report = train_here(corpus, tmp_path, pretrained=start, epochs=1, learning_rate=1e-12)
    saved, initial = (load_file(Path(folder) / "model.safetensors") for folder in (tmp_path / "model", start))
    for name, value in initial.items():
        if "running" not in name and "num_batches" not in name:
            torch.testing.assert_close(saved[name], value, rtol=0, atol=1e-9)
    assert report["scores"].keys() == {"dev", "test", "test_signer"}


def test_mistakes_end_with_one_line(flags, tmp_path):
    result = command_line(flags(tmp_path / "nowhere", tmp_path / "run"))
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert f"{tmp_path / 'nowhere'}: there is no metadata.csv" in line


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"train_split": "nothing"}, "no clip in the split 'nothing'"),
        ({"test_splits": ["nothing"]}, "no clip in the split 'nothing'"),
        ({"clip": "a", "pretrained": "b"}, "start from one of them"),
        ({"pretrained": "/nowhere/at/all"}, "/nowhere/at/all"),
        ({"vision_heads": 3}, "vision_heads|heads"),
        ({"hidden_size": 15}, "hidden_size is 15"),
        ({"adapter": "dora"}, "adapter is 'dora': it must be one of 'adaptsign', 'lora'"),
        ({"fps": -1}, "-1"),
        ({"config": "/nowhere.yaml"}, "no such file"),
    ],
)
def test_mistakes_are_told(corpus, flags, tmp_path, monkeypatch, changed, message):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(SystemExit) as exit_:
        run_module.main(flags(corpus, tmp_path / "run", **changed))
    assert exit_.value.code.startswith("error: ")
    assert re.search(message, exit_.value.code)
