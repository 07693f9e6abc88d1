"""AdaptSignConfig: the paper's sizes, round trips, and what it refuses."""

import pytest
from huggingface_hub.errors import StrictDataclassError
from transformers import AutoConfig, CLIPVisionConfig

from adaptsign_hf.modeling.configuration_adaptsign import AdaptSignConfig


def test_defaults_are_the_papers():
    config = AdaptSignConfig()
    vision = config.vision
    assert (vision.hidden_size, vision.num_hidden_layers, vision.patch_size, vision.image_size) == (768, 12, 16, 224)
    assert vision.projection_dim == 512
    assert (config.adapter_reduction, config.num_prefix_tokens, config.cross_frame_radius) == (4, 8, 2)
    assert (config.hidden_size, config.num_lstm_layers, config.lstm_dropout) == (1024, 2, 0.3)
    assert (config.sequence_loss_weight, config.conv_loss_weight, config.distillation_loss_weight) == (1, 1, 25)
    assert config.distillation_temperature == 8
    assert config.blank_id == config.pad_token_id == 0
    assert config.normalize_classifier
    assert config.share_classifier
    assert config.adapter == "adaptsign"


def test_vision_config_may_be_a_dict_or_an_object():
    by_dict = AdaptSignConfig(vision_config={"hidden_size": 48, "patch_size": 16})
    by_object = AdaptSignConfig(vision_config=CLIPVisionConfig(hidden_size=48, patch_size=16))
    assert isinstance(by_dict.vision, CLIPVisionConfig)
    assert by_dict.vision.hidden_size == 48
    assert by_dict.to_dict() == by_object.to_dict()


def test_each_config_has_a_vision_config_of_its_own():
    first, second = AdaptSignConfig(), AdaptSignConfig()
    first.vision.hidden_size = 4
    assert second.vision.hidden_size == 768


def test_saving_and_loading_keeps_every_field(tiny_config, tmp_path):
    changed = AdaptSignConfig(
        **{
            **tiny_config.to_diff_dict(),
            "lstm_dropout": 0.25,
            "share_classifier": False,
            "normalize_classifier": False,
            "cross_frame_radius": 1,
            "distillation_temperature": 4,
            "frame_chunk_size": 5,
        }
    )
    changed.save_pretrained(tmp_path)
    loaded = AutoConfig.from_pretrained(tmp_path)
    assert type(loaded) is AdaptSignConfig
    assert isinstance(loaded.vision, CLIPVisionConfig)
    assert loaded.to_dict() | {"_name_or_path": ""} == changed.to_dict() | {"_name_or_path": ""}
    assert loaded.cross_frame_radius == 1
    assert not loaded.share_classifier


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("hidden_size", 33),
        ("vocab_size", 0),
        ("vocab_size", -3),
        ("adapter_reduction", 0),
        ("lora_rank", 0),
        ("frame_chunk_size", 0),
        ("num_lstm_layers", 0),
        ("num_prefix_tokens", -1),
        ("cross_frame_radius", -1),
    ],
)
def test_impossible_sizes_are_refused_by_name(field, value):
    with pytest.raises(StrictDataclassError, match=rf"{field} is {value}"):
        AdaptSignConfig(**{field: value})


@pytest.mark.parametrize(
    ("field", "value"),
    [("vocab_size", "many"), ("hidden_size", 32.5), ("share_classifier", "yes"), ("distillation_temperature", "hot")],
)
def test_a_wrong_type_is_refused_by_name(field, value):
    with pytest.raises(StrictDataclassError, match=field):
        AdaptSignConfig(**{field: value})


def test_zero_prefix_tokens_and_radius_are_allowed():
    config = AdaptSignConfig(num_prefix_tokens=0, cross_frame_radius=0)
    assert (config.num_prefix_tokens, config.cross_frame_radius) == (0, 0)


@pytest.mark.parametrize("adapter", ["adaptsign", "lora", None])
def test_adapters_are_known_by_name_and_survive_saving(adapter, tmp_path):
    config = AdaptSignConfig(adapter=adapter, lora_rank=5, freeze_query_and_first_prefixes=True)
    config.save_pretrained(tmp_path)
    loaded = AutoConfig.from_pretrained(tmp_path)
    assert (loaded.adapter, loaded.lora_rank, loaded.freeze_query_and_first_prefixes) == (adapter, 5, True)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"adapter": "dora"}, "adapter is 'dora': it must be one of 'adaptsign', 'lora', None"),
        ({"adapter": ""}, "adapter is ''"),
        ({"vision_config": {"hidden_size": 48}, "adapter_reduction": 49}, "adapter_reduction is 49.*CLIP's width 48"),
        ({"pad_token_id": None}, "pad_token_id is None.*must be 0 to 1295"),
        ({"pad_token_id": -1}, "pad_token_id is -1"),
        ({"pad_token_id": 5, "vocab_size": 5}, "pad_token_id is 5.*must be 0 to 4"),
        ({"lstm_dropout": 1.0}, r"lstm_dropout is 1\.0"),
        ({"lstm_dropout": -0.1}, r"lstm_dropout is -0\.1"),
        ({"distillation_temperature": 0}, "distillation_temperature is 0: it must be positive"),
        ({"distillation_temperature": -8.0}, r"distillation_temperature is -8\.0"),
    ],
)
def test_impossible_values_are_refused_by_name(fields, message):
    with pytest.raises(StrictDataclassError, match=message):
        AdaptSignConfig(**fields)


@pytest.mark.parametrize(
    "fields",
    [
        {"vision_config": {"hidden_size": 48}, "adapter_reduction": 48},
        {"pad_token_id": 4, "vocab_size": 5},
        {"lstm_dropout": 0},
        {"lstm_dropout": 0.999},
        {"distillation_temperature": 0.5},
    ],
)
def test_values_at_the_bounds_are_allowed(fields):
    config = AdaptSignConfig(**fields)
    assert all(getattr(config, name) == value for name, value in fields.items() if name != "vision_config")
