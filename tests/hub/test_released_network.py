"""The naive network, which tests of the conversion lean on, against numbers of the released one and against itself."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from adaptsign_hf.hub.released_files import read_checkpoint

from .released_network import FIXED_NUMBERS, NaiveNetwork, fixed_numbers

GOLDEN = Path(__file__).parents[3] / "shared" / "golden"
where_golden_numbers_are = pytest.mark.skipif(not GOLDEN.is_dir(), reason=f"there is no {GOLDEN}")


@pytest.fixture
def golden_network():
    return NaiveNetwork(read_checkpoint(GOLDEN / "reference_tiny.pt"))


@where_golden_numbers_are
@torch.no_grad()
def test_single_clips_are_read_as_the_released_network_did(golden_network):
    reference = load_file(GOLDEN / "reference_tiny.safetensors")
    for index in range(2):
        clip = reference[f"eval.{index}.video"]
        features, ((logits, conv_logits),) = golden_network.frame_features(clip), golden_network.logits([clip])
        for kind, found in (("frame_features", features), ("sequence_logits", logits), ("conv_logits", conv_logits)):
            torch.testing.assert_close(found.float(), reference[f"eval.{index}.{kind}"], atol=1e-5, rtol=0)


@where_golden_numbers_are
def test_a_training_step_has_the_released_networks_losses_and_gradients(golden_network):
    reference = load_file(GOLDEN / "reference_tiny.safetensors")
    expected = json.loads((GOLDEN / "reference_tiny.json").read_text())["train"]
    clips = [reference[f"train.{index}.video"] for index in range(2)]
    terms, norms = golden_network.train_step(clips, expected["labels"])
    assert terms == pytest.approx(expected["weighted_losses"], rel=1e-5)
    counting = {name: norm for name, norm in expected["grad_norms"].items() if norm > 1e-4}
    assert {name: norms[name] for name in counting} == pytest.approx(counting, rel=1e-4)


def test_the_numbers_of_the_fixed_network_are_what_they_were():
    expected, found = (json.loads(text) for text in (FIXED_NUMBERS.read_text(), json.dumps(fixed_numbers())))
    assert found.keys() == expected.keys()
    for kind in ("losses", "gradient_norms"):
        assert found[kind] == pytest.approx(expected[kind], rel=1e-8)
    rows = [(found["frame_features"], expected["frame_features"])]
    rows += [pair for kind in ("logits", "conv_logits") for pair in zip(found[kind], expected[kind], strict=True)]
    for actual, wanted in rows:
        torch.testing.assert_close(torch.tensor(actual), torch.tensor(wanted), atol=1e-7, rtol=0)
