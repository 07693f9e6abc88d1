"""The network that AdaptSign's authors released gave these numbers; converted by the command, ours gives them too."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCTC, AutoProcessor
from typer.testing import CliRunner

from adaptsign_hf.cli import app
from adaptsign_hf.hub.released_files import read_checkpoint

from .hub.released_network import converted_train_step

GOLDEN = Path(__file__).parents[2] / "shared" / "golden"

pytestmark = pytest.mark.skipif(not GOLDEN.is_dir(), reason=f"there is no {GOLDEN}")


@pytest.fixture(scope="module")
def reference():
    return load_file(GOLDEN / "reference_tiny.safetensors")


@pytest.fixture(scope="module")
def meta():
    return json.loads((GOLDEN / "reference_tiny.json").read_text())


@pytest.fixture(scope="module")
def folder(meta, tmp_path_factory):
    folder = tmp_path_factory.mktemp("golden")
    glosses = folder / "glosses.txt"
    glosses.write_text("\n".join(f"GLOSS-{number}" for number in range(1, meta["config"]["num_classes"])))
    arguments = ["convert", GOLDEN / "reference_tiny.pt", folder / "converted", "--glosses", glosses]
    result = CliRunner().invoke(app, list(map(str, arguments)))
    assert result.exit_code == 0, result.output
    return folder / "converted"


@pytest.fixture
def model(folder):
    return AutoModelForCTC.from_pretrained(folder)


def test_the_sizes_are_the_released_networks(model, folder, meta):
    config, clip = model.config, meta["config"]["clip"]
    assert (config.vocab_size, config.hidden_size) == (meta["config"]["num_classes"], meta["config"]["hidden_size"])
    assert (config.vision.hidden_size, config.vision.num_hidden_layers) == (
        clip["vision_width"],
        clip["vision_layers"],
    )
    assert (config.vision.image_size, config.vision.patch_size) == (
        clip["image_resolution"],
        clip["vision_patch_size"],
    )
    assert (config.vision.projection_dim, config.num_prefix_tokens) == (clip["embed_dim"], 8)
    assert (config.normalize_classifier, config.share_classifier) == (True, True)
    processor = AutoProcessor.from_pretrained(folder)
    assert processor.tokenizer.vocab_size == config.vocab_size


@pytest.mark.parametrize("index", [0, 1])
@torch.no_grad()
def test_a_clip_is_read_as_the_released_network_did(model, reference, meta, index):
    clip = reference[f"eval.{index}.video"][None]
    output, features = model(clip), model.model(clip).padded_hidden_state
    assert output.logit_lengths.tolist() == [meta["eval"][index]["output_length"]]
    for kind, found in (
        ("frame_features", features),
        ("sequence_logits", output.logits),
        ("conv_logits", output.conv_logits),
    ):
        torch.testing.assert_close(found[0], reference[f"eval.{index}.{kind}"], atol=1e-4, rtol=0)


@torch.no_grad()
def test_clips_are_read_in_a_batch_as_alone(model, reference, meta):
    clips = [reference[f"eval.{index}.video"] for index in range(2)]
    mask = torch.nn.utils.rnn.pad_sequence([torch.ones(len(clip)) for clip in clips], batch_first=True)
    output = model(torch.nn.utils.rnn.pad_sequence(clips, batch_first=True, padding_value=3.0), mask)
    for index, length in enumerate(output.logit_lengths):
        for kind, found in (("sequence_logits", output.logits), ("conv_logits", output.conv_logits)):
            torch.testing.assert_close(found[index, :length], reference[f"eval.{index}.{kind}"], atol=1e-4, rtol=0)


def test_a_training_step_has_the_released_networks_losses_and_gradients(model, reference, meta):
    expected = meta["train"]
    clips = [reference[f"train.{index}.video"] for index in range(2)]
    released = set(read_checkpoint(GOLDEN / "reference_tiny.pt"))
    terms, norms = converted_train_step(model, clips, expected["labels"], released)
    assert terms == pytest.approx(expected["weighted_losses"], rel=1e-4)
    assert sum(terms.values()) == pytest.approx(expected["loss"], rel=1e-4)
    # There, the query is not trained; the classifier's second name is ours too, as both are one tensor.
    assert norms.keys() - expected["grad_norms"].keys() == {"conv2d.visual.transformer.query", "classifier.weight"}
    assert norms["classifier.weight"] == norms["conv1d.fc.weight"]
    # What is smaller is zero but for rounding: biases that BatchNorm takes out again.
    counting = {name: norm for name, norm in expected["grad_norms"].items() if norm > 1e-4}
    assert len(counting) == len(expected["grad_norms"]) - 4
    assert {name: norms[name] for name in counting} == pytest.approx(counting, rel=1e-3)
    for name in expected["grad_norms"].keys() - counting.keys():
        assert norms[name] < 1e-4
