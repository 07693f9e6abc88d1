import json
import os
import subprocess
import sys

import pytest
import torch
from transformers import CLIPVisionModel

from adaptsign_hf.hub.conversion import convert_tensors
from adaptsign_hf.inference.loading import load_model
from adaptsign_hf.modeling.clip_loading_adaptsign import clip_tensors

from ..hub.released_network import Sizes, glosses_of, random_tensors, write_release

SIZES = Sizes()


@pytest.fixture
def release(tmp_path):
    """A released checkpoint and its glosses."""
    return write_release(tmp_path, SIZES)


@pytest.fixture
def clip_folder(tmp_path):
    model = convert_tensors(random_tensors(SIZES))
    clip = CLIPVisionModel(model.config.vision)
    clip.load_state_dict(clip_tensors(model.model.vision_model), strict=False)
    clip.save_pretrained(tmp_path / "clip")
    return tmp_path / "clip"


def assert_one_error_line(result, text):
    assert (result.code, result.stdout) == (1, "")
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert text in line
    assert result.stderr.endswith(f"{line}\n")
    assert "Traceback" not in result.stderr


def test_help_tells_what_is_needed(adaptsign):
    result = adaptsign("convert", "--help")
    assert (result.code, result.stderr) == (0, "")
    for text in ("CHECKPOINT.pt", "OUT_DIR", "--glosses", "gloss_dict.npy", "--adapter-only", "--clip"):
        assert text in result.stdout


@pytest.mark.parametrize("suffix", [".txt", ".json"])
def test_a_checkpoint_becomes_a_model_that_is_ready_to_load(adaptsign, release, tmp_path, suffix):
    checkpoint, glosses = release
    if suffix == ".json":
        glosses = tmp_path / "glosses.json"
        glosses.write_text(json.dumps({gloss: [number, 1] for number, gloss in enumerate(glosses_of(SIZES), start=1)}))
    result = adaptsign("convert", checkpoint, tmp_path / "out", "--glosses", glosses)
    assert (result.code, result.stderr) == (0, "")
    assert result.stdout == f"{tmp_path / 'out'}: 2 layers of width 64, patches of 16 in 32 pixels, 6 glosses\n"
    model, processor = load_model(tmp_path / "out", "cpu")
    assert processor.tokenizer.glosses == glosses_of(SIZES)
    expected = convert_tensors(random_tensors(SIZES)).state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in model.state_dict().items())


def test_the_real_command(release, tmp_path):
    command = [sys.executable, "-m", "adaptsign_hf.cli", "convert", *release[:1], tmp_path / "out"]
    command = [*map(str, command), "--glosses", str(release[1])]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith(f"{tmp_path / 'out'}: 2 layers")
    assert {"config.json", "model.safetensors", "processor_config.json", "tokenizer.json"} <= {
        path.name for path in (tmp_path / "out").iterdir()
    }


def test_an_adapter_names_the_clip_that_is_given(adaptsign, release, clip_folder, tmp_path):
    options = ("--glosses", release[1], "--adapter-only", "--clip", clip_folder)
    result = adaptsign("convert", release[0], tmp_path / "out", *options)
    assert (result.code, result.stdout.count("\n")) == (0, 1)
    model, processor = load_model(tmp_path / "out", "cpu")
    assert processor.tokenizer.glosses == glosses_of(SIZES)
    expected = convert_tensors(random_tensors(SIZES)).state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in model.state_dict().items())


def test_an_adapter_of_an_unknown_clip_comes_with_a_word(adaptsign, release, tmp_path, caplog):
    result = adaptsign("convert", release[0], tmp_path / "out", "--glosses", release[1], "--adapter-only")
    assert result.code == 0
    assert "No CLIP of these sizes is known" in caplog.text  # pytest has taken the handler of standard error
    assert not (tmp_path / "out" / "model.safetensors").exists()


def test_a_clip_goes_with_an_adapter_only(adaptsign, release, tmp_path):
    result = adaptsign("convert", release[0], tmp_path / "out", "--glosses", release[1], "--clip", tmp_path)
    assert (result.code, result.stdout) == (2, "")
    assert "--adapter-only" in result.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("given", [("a.pt", "out"), ("a.pt", "--glosses", "b.txt"), ("--glosses", "b.txt")])
def test_what_is_not_given_is_wrong_usage(adaptsign, given):
    result = adaptsign("convert", *given)
    assert (result.code, result.stdout) == (2, "")
    assert "Usage: " in result.stderr


@pytest.mark.parametrize(
    ("file", "data", "message"),
    [
        ("model.pt", None, "model.pt: there is no such file"),
        ("model.pt", b"", "model.pt: it is no checkpoint"),
        ("model.pt", b"no checkpoint", "model.pt: it is no checkpoint"),
        ("glosses.txt", None, "glosses.txt: there is no such file"),
        ("glosses.txt", b"", "glosses.txt: expected glosses"),
        ("glosses.txt", b"A\nB\n", "holds 2 glosses, but the classifier has 7 classes"),
        ("glosses.txt", b"A\nB\nC\nD\nE\nA\n", "twice"),
        ("out", b"", "out: it is a file"),
    ],
)
def test_files_that_cannot_serve_are_told(adaptsign, release, tmp_path, file, data, message):
    (tmp_path / file).unlink(missing_ok=True)
    if data is not None:
        (tmp_path / file).write_bytes(data)
    assert_one_error_line(adaptsign("convert", release[0], tmp_path / "out", "--glosses", release[1]), message)
    assert not (tmp_path / "out").is_dir()


def test_a_tensor_that_is_missing_is_told(adaptsign, tmp_path):
    tensors = random_tensors(SIZES)
    del tensors["conv2d.visual.transformer.query"]
    checkpoint, glosses = write_release(tmp_path, SIZES, tensors)
    result = adaptsign("convert", checkpoint, tmp_path / "out", "--glosses", glosses)
    assert_one_error_line(result, "conv2d.visual.transformer.query")


def test_sizes_that_cannot_be_are_told(adaptsign, tmp_path):
    tensors = random_tensors(SIZES)
    tensors["conv1d.temporal_conv.4.weight"] = torch.zeros(23, 24, 5)
    checkpoint, glosses = write_release(tmp_path, SIZES, tensors)
    result = adaptsign("convert", checkpoint, tmp_path / "out", "--glosses", glosses)
    assert_one_error_line(result, "hidden_size is 23")


@pytest.mark.parametrize("harmful_file", ["model.pt", "gloss_dict.npy"])
def test_code_in_a_file_is_not_run(adaptsign, release, tmp_path, harmful_file):
    import numpy as np

    class Harmful:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path / 'trace'}",)

    checkpoint, glosses = release
    if harmful_file == "model.pt":
        torch.save({"model_state_dict": random_tensors(SIZES), "rng_state": Harmful()}, checkpoint)
    else:
        glosses = tmp_path / "gloss_dict.npy"
        np.save(glosses, {"A": [Harmful(), 1]})
    result = adaptsign("convert", checkpoint, tmp_path / "out", "--glosses", glosses)
    assert_one_error_line(result, f"{harmful_file}: ")
    assert "system" in result.stderr
    assert not (tmp_path / "trace").exists()
    assert not (tmp_path / "out").exists()


def test_another_clip_is_told(adaptsign, release, tmp_path):
    CLIPVisionModel(convert_tensors(random_tensors(SIZES)).config.vision).save_pretrained(tmp_path / "clip")
    options = ("--glosses", release[1], "--adapter-only", "--clip", tmp_path / "clip")
    assert_one_error_line(adaptsign("convert", release[0], tmp_path / "out", *options), "embeddings.class_embedding")


def test_a_clip_that_is_not_there_is_told(adaptsign, release, tmp_path):
    options = ("--glosses", release[1], "--adapter-only", "--clip", tmp_path / "nowhere")
    assert_one_error_line(adaptsign("convert", release[0], tmp_path / "out", *options), "Reading the CLIP ")


def test_model_and_adapter_are_not_put_into_one_folder(adaptsign, release, tmp_path):
    arguments = ("convert", release[0], tmp_path / "out", "--glosses", release[1])
    assert adaptsign(*arguments).code == 0
    assert_one_error_line(adaptsign(*arguments, "--adapter-only"), "there is model.safetensors in it")
