import pytest
import torch
from transformers import CLIPVisionModel

from adaptsign_hf.inference.recognition import recognize_video
from adaptsign_hf.inference.shared_models import load_models, parse_models
from adaptsign_hf.modeling.adapters_adaptsign import save_adapter


@pytest.fixture
def adapters(tiny_model, tiny_config, model_and_processor, tmp_path):
    """Two adapters of one CLIP; the directory of the second names it by another path."""
    clip = CLIPVisionModel(tiny_config.vision)
    weights = {
        name.replace(".base_layer.", "."): tensor
        for name, tensor in tiny_model.model.vision_model.state_dict().items()
    }
    clip.load_state_dict({name: weights[name] for name in clip.state_dict()})
    clip.save_pretrained(tmp_path / "clip")
    save_adapter(tiny_model, tmp_path / "first", str(tmp_path / "clip"))
    with torch.no_grad():
        tiny_model.classifier.weight.mul_(-1)
    save_adapter(tiny_model, tmp_path / "second", str(tmp_path / "first" / ".." / "clip"))
    for name in ("first", "second"):
        model_and_processor[1].save_pretrained(tmp_path / name)
    return {name: tmp_path / name for name in ("first", "second")}


def test_adapters_of_one_clip_have_it_once_in_memory(adapters):
    loaded = load_models(adapters, "cpu")
    assert list(loaded) == ["first", "second"]
    first, second = (model for model, _ in loaded.values())
    assert not first.training
    assert not second.training
    own = {name: tensor for name, tensor in first.model.vision_model.named_parameters() if "adaptsign_" not in name}
    others = dict(second.model.vision_model.named_parameters())
    assert len(own) > 20
    for name, tensor in own.items():
        assert tensor.data_ptr() == others[name].data_ptr(), name
    assert torch.equal(second.classifier.weight, -first.classifier.weight)


def test_they_compute_what_each_computes_alone(adapters, tiny_config):
    clip = torch.randn(1, 9, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    loaded = load_models(adapters, "cpu")
    for name, path in adapters.items():
        alone = load_models({name: path}, "cpu")[name][0]
        with torch.no_grad():
            assert torch.equal(loaded[name][0](clip).logits, alone(clip).logits)


def test_full_checkpoints_stand_beside_adapters(adapters, model_folder, clips):
    loaded = load_models({"full": model_folder, **adapters}, "cpu")
    text = recognize_video(*loaded["full"], clips[0].path)
    assert text == recognize_video(*load_models({"full": model_folder}, "cpu")["full"], clips[0].path)
    assert text


def test_a_list_of_models_is_read():
    assert parse_models(" german = a/b , chinese=c=d,") == {"german": "a/b", "chinese": "c=d"}
    assert parse_models("runs/mine/model") == {"runs/mine/model": "runs/mine/model"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "there is none in it"),
        (" , ", "there is none in it"),
        ("a=", "'a=' is not name=path"),
        ("=b", "'=b' is not name=path"),
        ("a=b,a=c", "the name 'a' comes twice"),
    ],
)
def test_a_list_of_models_that_is_none(text, message):
    with pytest.raises(ValueError, match=message):
        parse_models(text)
