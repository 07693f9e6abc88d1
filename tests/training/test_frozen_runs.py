"""Whole runs with each adapter, one of them resumed: what is frozen in them stays as it was drawn."""

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoProcessor, set_seed

from adaptsign_hf.inference.loading import load_model
from adaptsign_hf.training import loop
from adaptsign_hf.training import run as run_module
from adaptsign_hf.training.building import build_model_and_processor
from adaptsign_hf.training.configuration import parse_training_config


class Interruption(Exception):
    pass


@pytest.fixture
def train_in_two_parts(train_here, monkeypatch):
    """Train, stop within the second epoch, and resume; return the names of what is trained from then on."""

    def run(corpus, run_dir, **options):
        save_checkpoint, fit, stopped, trained = loop.save_checkpoint, run_module.Trainer.fit, [], set()

        def save_then_stop(accelerator, folder, progress):
            save_checkpoint(accelerator, folder, progress)
            if progress.steps == 4 and not stopped:
                stopped.append(True)
                raise Interruption

        def look_and_fit(trainer, *arguments):
            trained.clear()
            trained.update(name for name, value in trainer.model.named_parameters() if value.requires_grad)
            fit(trainer, *arguments)

        monkeypatch.setattr(loop, "save_checkpoint", save_then_stop)
        monkeypatch.setattr(run_module.Trainer, "fit", look_and_fit)
        with pytest.raises(Interruption):
            train_here(corpus, run_dir, checkpointing_steps=2, **options)
        train_here(corpus, run_dir, checkpointing_steps=2, resume_from_checkpoint=True, **options)
        return trained

    return run


@pytest.mark.parametrize(
    ("options", "untrained"),
    [
        ({"adapter": "adaptsign"}, []),
        (
            {"adapter": "adaptsign", "freeze_query_and_first_prefixes": True},
            ["aggregator.query", "layers.0.adaptsign_prefix_keys.default", "layers.0.adaptsign_prefix_values.default"],
        ),
        ({"adapter": "lora", "lora_rank": 2, "activation_checkpointing": True}, []),
    ],
)
def test_a_resumed_run_trains_what_a_new_one_does(corpus, flags, train_in_two_parts, tmp_path, options, untrained):
    trained = train_in_two_parts(corpus, tmp_path, **options)
    config = parse_training_config(flags(corpus, tmp_path, **options))
    glosses = AutoProcessor.from_pretrained(tmp_path / "model").tokenizer.glosses
    set_seed(config.run.seed)
    initial, _ = build_model_and_processor(config.model, glosses, None)
    (checkpoint,) = (tmp_path / "checkpoints").iterdir()
    last = load_file(checkpoint / "model.safetensors")
    adapters = "lora_" if options["adapter"] == "lora" else "adaptsign_"
    for name, parameter in initial.named_parameters():
        learns = ("vision_model." not in name or adapters in name) and not name.endswith(tuple(untrained))
        assert (name in trained) == parameter.requires_grad == learns, name
        assert torch.equal(last[name], parameter) != learns, name
    model, _ = load_model(tmp_path / "model", "cpu")
    assert {name for name, value in model.named_parameters() if value.requires_grad} == trained
    assert model.config.adapter == options["adapter"]
