from dataclasses import asdict, fields
from pathlib import Path

import pytest
import yaml

from adaptsign_hf.training.configuration import (
    SECTIONS,
    AugmentationConfig,
    ModelConfig,
    OptimizationConfig,
    parse_training_config,
    read_recipe,
)

CONFIGS = Path(__file__).parents[2] / "configs"
RECIPES = sorted(CONFIGS.glob("*.yaml"))
FIELDS = [field for section in SECTIONS for field in fields(section)]


@pytest.fixture
def recipe(tmp_path):
    def write(text):
        path = tmp_path / "recipe.yaml"
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write


def test_the_defaults_are_the_papers():
    config = parse_training_config([])
    assert config.augmentation == AugmentationConfig()
    assert config.model == ModelConfig()
    assert config.optimization == OptimizationConfig(
        epochs=40, batch_size=2, learning_rate=1e-4, weight_decay=1e-4, schedule="step", decay_epochs=[20, 30]
    )
    assert config.data.test_splits == ["test"]


def test_no_two_sections_share_a_name():
    names = [field.name for field in FIELDS]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.name)
def test_every_field_says_what_it_is(field):
    assert field.metadata["help"].endswith(".")


def test_there_are_recipes():
    assert CONFIGS / "quickstart.yaml" in RECIPES


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.name)
def test_recipes_are_complete(path):
    assert set(read_recipe(path)) == {field.name for field in FIELDS}


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.name)
def test_recipes_are_read_as_they_are_written(path):
    written = yaml.safe_load(path.read_text(encoding="utf-8"))
    config = parse_training_config(["--config", str(path)])
    read = {name: value for section in asdict(config).values() for name, value in section.items()}
    assert read == written


def test_a_flag_wins_over_the_file(recipe):
    path = recipe("epochs: 7\nbatch_size: 3\nstrict: true\ncache_frames: true\n")
    config = parse_training_config(["--epochs", "9", "--config", path, "--cache_frames", "false"])
    assert config.optimization.epochs == 9
    assert config.optimization.batch_size == 3
    assert config.data.strict is True
    assert config.data.cache_frames is False


def test_a_switch_needs_no_value(recipe):
    assert parse_training_config(["--strict", "--config", recipe("epochs: 1")]).data.strict is True
    assert parse_training_config(["--overwrite_output_dir"]).run.overwrite_output_dir is True


def test_a_number_without_a_point_is_a_number(recipe):
    config = parse_training_config(["--config", recipe("learning_rate: 1e-4\nweight_decay: 0\n")])
    assert config.optimization.learning_rate == 1e-4
    assert isinstance(config.optimization.learning_rate, float)


def test_lists_are_read_from_file_and_flags(recipe):
    path = recipe("decay_epochs: [5]\ntest_splits:\n- test\n- other\n")
    config = parse_training_config(["--config", path])
    assert (config.optimization.decay_epochs, config.data.test_splits) == ([5], ["test", "other"])
    config = parse_training_config(["--config", path, "--decay_epochs", "3", "4", "--test_splits", "dev"])
    assert (config.optimization.decay_epochs, config.data.test_splits) == ([3, 4], ["dev"])
    assert parse_training_config(["--config", recipe("test_splits: []")]).data.test_splits == []


def test_the_adapter_is_chosen_in_file_or_flags(recipe):
    path = recipe("adapter: lora\nlora_rank: 4\nfreeze_query_and_first_prefixes: true\n")
    model = parse_training_config(["--config", path]).model
    assert (model.adapter, model.lora_rank, model.freeze_query_and_first_prefixes) == ("lora", 4, True)
    flags = ["--adapter", "adaptsign", "--lora_rank", "8", "--freeze_query_and_first_prefixes", "false"]
    model = parse_training_config(["--config", path, *flags]).model
    assert (model.adapter, model.lora_rank, model.freeze_query_and_first_prefixes) == ("adaptsign", 8, False)
    assert parse_training_config(["--freeze_query_and_first_prefixes"]).model.freeze_query_and_first_prefixes is True


def test_null_is_none(recipe):
    path = recipe("fps: null\ncheckpointing_steps: 5\nclip: null\n")
    config = parse_training_config(["--config", path])
    assert (config.data.fps, config.run.checkpointing_steps, config.model.clip) == (None, 5, None)
    config = parse_training_config(["--config", path, "--fps", "12.5", "--clip", "my_clip"])
    assert (config.data.fps, config.model.clip) == (12.5, "my_clip")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epoch: 3", r"recipe\.yaml: there is no field 'epoch'\. Did you mean epochs\?"),
        ("learningrate: 3", "Did you mean learning_rate"),
        ("xyzzy: 3", r"there is no field 'xyzzy'\.$"),
        ("7: 3", "there is no field 7"),
        ("- epochs", "expected lines such as 'epochs: 40'"),
        ("epochs", "expected lines such as 'epochs: 40'"),
        ("", "expected lines such as 'epochs: 40', found None"),
        ("epochs: [3", r"recipe\.yaml.*YAML"),
        ("epochs: many", "epochs.*'many'"),
        ("epochs: 2.5", r"epochs.*2\.5"),
        ("epochs: null", "epochs.*None"),
        ("epochs: true", "epochs.*True"),
        ("test_splits: test", "test_splits.*'test'"),
        ("decay_epochs: [1.5]", "decay_epochs"),
        ("mixed_precision: no", "mixed_precision.*False"),
        ("strict: 3", "strict.*3"),
        ("adapter: null", "adapter is None: expected str"),
        ("schedule: linear", "schedule is 'linear': expected step or cosine"),
        ("batch_size: 0", "batch_size is 0"),
        ("flip_probability: 2", "flip_probability is 2"),
        ("mixed_precision: fp12", "mixed_precision is 'fp12'"),
    ],
)
def test_mistakes_in_a_recipe_are_told(recipe, text, message):
    with pytest.raises(ValueError, match=message):
        parse_training_config(["--config", recipe(text)])


def test_a_missing_recipe_is_told(tmp_path):
    with pytest.raises(ValueError, match=r"nothing\.yaml: there is no such file"):
        parse_training_config(["--config", str(tmp_path / "nothing.yaml")])


@pytest.mark.parametrize("arguments", [["--epoch", "3"], ["--conf", "x.yaml"], ["--epochs", "many"], ["stray"]])
def test_wrong_flags_are_wrong_usage(arguments, capsys):
    with pytest.raises(SystemExit) as exit_:
        parse_training_config(arguments)
    assert exit_.value.code == 2
    assert arguments[-1].lstrip("-") in capsys.readouterr().err


def test_help_names_every_field(capsys):
    with pytest.raises(SystemExit) as exit_:
        parse_training_config(["--help"])
    assert exit_.value.code == 0
    text = capsys.readouterr().out
    assert all(f"--{field.name}" in text for field in FIELDS)
