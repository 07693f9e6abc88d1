"""The processor: videos and texts in, sentences out."""

import json

import numpy as np
import pytest
import torch
from transformers import (
    TOKENIZER_MAPPING,
    AutoProcessor,
    AutoTokenizer,
    AutoVideoProcessor,
    PreTrainedConfig,
)
from transformers.dynamic_module_utils import get_class_from_dynamic_module
from transformers.models.auto.processing_auto import PROCESSOR_MAPPING
from transformers.models.auto.video_processing_auto import VIDEO_PROCESSOR_MAPPING

from adaptsign_hf.decoding.ngram import estimate_ngrams, write_arpa
from adaptsign_hf.modeling.processing_adaptsign import AdaptSignProcessor
from adaptsign_hf.modeling.tokenization_adaptsign import AdaptSignTokenizer
from adaptsign_hf.modeling.video_processing_adaptsign import AdaptSignVideoProcessor


class StandInConfig(PreTrainedConfig):
    model_type = "adaptsign-processing-test"


@pytest.fixture
def auto_classes():
    """Auto classes that know the processor, for one test."""
    AutoVideoProcessor.register(StandInConfig, AdaptSignVideoProcessor)
    AutoTokenizer.register(StandInConfig, fast_tokenizer_class=AdaptSignTokenizer)
    AutoProcessor.register(StandInConfig, AdaptSignProcessor)
    yield
    for mapping in (VIDEO_PROCESSOR_MAPPING, TOKENIZER_MAPPING, PROCESSOR_MAPPING):
        del mapping._extra_content[StandInConfig]


@pytest.fixture
def processor():
    video_processor = AdaptSignVideoProcessor(size={"height": 8, "width": 8}, crop_size={"height": 6, "width": 6})
    return AdaptSignProcessor(video_processor, AdaptSignTokenizer.from_glosses(["A", "B", "C+D"]))


def clip(count):
    return np.random.default_rng(count).integers(0, 256, (count, 10, 12, 3), dtype=np.uint8)


def test_videos_and_texts(processor):
    batch = processor(videos=[clip(3), clip(2)], text=["A C+D A", "B"], return_tensors="pt")
    assert list(batch) == processor.model_input_names == ["pixel_values", "attention_mask", "labels"]
    assert batch["pixel_values"].shape == (2, 3, 3, 6, 6)
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 1, 0]]
    assert batch["labels"].dtype == torch.long
    assert batch["labels"].tolist() == [[1, 3, 1], [2, -100, -100]]
    alone = processor.video_processor([clip(3), clip(2)])
    assert torch.equal(batch["pixel_values"], alone["pixel_values"])


def test_one_video_and_one_text(processor):
    batch = processor(videos=clip(2), text="A B")
    assert batch["pixel_values"].shape == (1, 2, 3, 6, 6)
    assert batch["labels"].tolist() == [[1, 2]]


def test_either_alone(processor):
    assert list(processor(videos=clip(2))) == ["pixel_values", "attention_mask"]
    assert list(processor(text="A")) == ["labels"]


def test_empty_text_is_a_row_of_padding(processor):
    assert processor(text=["", "A B"])["labels"].tolist() == [[-100, -100], [1, 2]]
    assert processor(text="")["labels"].shape == (1, 0)


def test_labels_back_to_text(processor):
    labels = processor(text=["A A", "", "C+D"])["labels"]
    assert processor.tokenizer.batch_decode(labels, group_tokens=False) == ["A A", "", "C+D"]


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({}, "neither videos nor text"),
        ({"text": []}, "empty list of texts"),
        ({"videos": [clip(1), clip(1)], "text": ["A"]}, "2 videos but 1 texts"),
        ({"videos": clip(1), "text": ["A", "B"]}, "1 videos but 2 texts"),
        ({"videos": "never opened.mp4", "text": "E"}, "Cannot encode 'E'"),
    ],
)
def test_refusals(processor, inputs, message):
    with pytest.raises(ValueError, match=message):
        processor(**inputs)


# Decoding


def logits_of(paths, vocabulary=4):
    return torch.nn.functional.one_hot(torch.tensor(paths), vocabulary).float()


def test_batch_decode_takes_the_best_path_and_collapses(processor):
    logits = logits_of([[0, 1, 1, 0, 1], [3, 3, 2, 0, 0]])
    assert processor.batch_decode(logits) == ["A A", "C+D B"]
    assert processor.batch_decode(logits.log_softmax(-1)) == ["A A", "C+D B"]


@pytest.mark.parametrize("as_tensor", [True, False])
def test_batch_decode_honours_lengths(processor, as_tensor):
    logits = logits_of([[0, 1, 1, 0, 1], [3, 3, 2, 0, 0], [1, 2, 3, 1, 2]])
    lengths = [4, 2, 0]
    decoded = processor.batch_decode(logits, torch.tensor(lengths) if as_tensor else lengths)
    assert decoded == ["A", "C+D", ""]


@pytest.mark.parametrize(
    ("logits", "lengths"),
    [
        (torch.zeros(2, 5), None),
        (torch.zeros(2, 5, 3), None),
        (torch.zeros(2, 5, 4), [5]),
        (torch.zeros(2, 5, 4), [5, 6]),
        (torch.zeros(2, 5, 4), [5, -1]),
    ],
)
def test_batch_decode_refuses_shapes_that_do_not_fit(processor, logits, lengths):
    with pytest.raises(ValueError, match="Cannot decode"):
        processor.batch_decode(logits, lengths)


# Beam search and language models


@pytest.fixture
def arpa(tmp_path):
    """A language model that likes `A B`; its words are the glosses of `processor`."""
    pytest.importorskip("kenlm")
    pytest.importorskip("pyctcdecode")
    path = tmp_path / "glosses.arpa"
    write_arpa(estimate_ngrams([["A", "B"], ["A", "B", "C+D"]], order=2), path)
    return path


# The best path is blank blank; A is more probable over its three paths. Then A, and B or C+D with hardly a difference.
OPEN = torch.tensor([[[0.45, 0.35, 0.1, 0.1]] * 2 + [[1, 0, 0, 0]], [[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0.48, 0.52]]])
OPEN = OPEN.clamp(min=1e-6).log()


def test_each_decoder_reads_in_its_own_way(processor, arpa):
    assert processor.batch_decode(OPEN) == processor.batch_decode(OPEN, decoder="greedy") == ["", "A C+D"]
    assert processor.batch_decode(OPEN, decoder="beam") == ["A", "A C+D"]
    processor.configure_decoding(language_model=arpa)
    assert processor.batch_decode(OPEN)[1] == "A B"
    processor.configure_decoding(language_model_weight=0.0)
    assert processor.batch_decode(OPEN) == ["A", "A C+D"]
    processor.configure_decoding(language_model_weight=0.5)
    assert processor.batch_decode(OPEN)[1] == "A B"
    assert processor.batch_decode(OPEN, decoder="greedy") == ["", "A C+D"]


def test_logits_need_not_be_normalised_nor_float32(processor):
    for logits in (OPEN + 5, OPEN.double() - 3, OPEN.bfloat16()):
        assert processor.batch_decode(logits, decoder="beam") == ["A", "A C+D"]


def test_n_best(processor, arpa):
    (first, _) = processor.batch_decode(OPEN, decoder="beam", num_beams=20, n_best=3)
    assert [sentence.glosses for sentence in first] == ["A", "", "B"]
    expected = [0.35**2 + 2 * 0.35 * 0.45, 0.45**2, 0.1**2 + 2 * 0.1 * 0.45]
    assert np.exp([sentence.log_probability for sentence in first]) == pytest.approx(expected, rel=1e-3)
    processor.configure_decoding(language_model=arpa)
    sentences = processor.batch_decode(OPEN, n_best=2)
    assert [len(row) for row in sentences] == [2, 2]
    assert [sentence.glosses for sentence in sentences[1]] == ["A B", "A C+D"]


def test_every_sentence_that_can_be(processor):
    (sentences,) = processor.batch_decode(torch.zeros(1, 2, 4), decoder="beam", num_beams=100, n_best=100)
    assert len({sentence.glosses for sentence in sentences}) == len(sentences) == 1 + 3 + 6
    assert sum(np.exp(sentence.log_probability) for sentence in sentences) == pytest.approx(1)


@pytest.mark.parametrize("decoder", ["beam", "language_model"])
def test_lengths_count_for_searches(processor, arpa, decoder):
    processor.configure_decoding(language_model=arpa, language_model_weight=0.0)
    assert processor.batch_decode(OPEN, [2, 0], decoder=decoder) == ["A", ""]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"decoder": "best"}, "no decoder 'best': choose one of greedy, beam, language_model"),
        ({"decoder": "language_model"}, "the processor has none"),
        ({"decoder": "beam", "num_beams": 0}, "num_beams=0"),
        ({"decoder": "beam", "num_beams": 2.5}, r"num_beams=2\.5"),
        ({"decoder": "beam", "n_best": 11}, "n_best=11 sentences of 10 beams"),
        ({"decoder": "beam", "n_best": 0}, "n_best=0"),
        ({"n_best": 2}, 'decoder="beam"'),
        ({"num_beams": 2}, 'decoder="beam"'),
    ],
)
def test_decoding_that_cannot_be(processor, options, message):
    with pytest.raises(ValueError, match=message):
        processor.batch_decode(OPEN, **options)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"decoder": "best"}, "'best'"),
        ({"decoder": "language_model"}, "has none"),
        ({"num_beams": 0}, "num_beams=0"),
        ({"language_model_weight": float("nan")}, "language_model_weight=nan"),
        ({"gloss_bonus": "much"}, "gloss_bonus='much'"),
    ],
)
def test_settings_that_cannot_be(processor, settings, message):
    with pytest.raises(ValueError, match=message):
        AdaptSignProcessor(processor.video_processor, processor.tokenizer, **settings)
    with pytest.raises(ValueError, match=message):
        processor.configure_decoding(**{"decoder": "beam", **settings})
    assert (processor.decoder, processor.num_beams, processor.gloss_bonus) == ("greedy", 10, 0.0)


# Saving


@pytest.mark.parametrize("loader", [AdaptSignProcessor, AutoProcessor])
def test_save_and_load(processor, auto_classes, tmp_path, loader):
    processor.save_pretrained(tmp_path)
    loaded = loader.from_pretrained(tmp_path)
    assert type(loaded) is AdaptSignProcessor
    assert type(loaded.tokenizer) is AdaptSignTokenizer
    assert type(loaded.video_processor) is AdaptSignVideoProcessor
    assert loaded.tokenizer.glosses == ["A", "B", "C+D"]
    inputs = {"videos": [clip(2), clip(1)], "text": ["A", "B C+D"]}
    before, after = processor(**inputs), loaded(**inputs)
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_parts_load_from_the_saved_processor(processor, auto_classes, tmp_path):
    processor.save_pretrained(tmp_path)
    assert AutoTokenizer.from_pretrained(tmp_path).glosses == ["A", "B", "C+D"]
    assert AutoVideoProcessor.from_pretrained(tmp_path).to_dict() == processor.video_processor.to_dict()


@pytest.mark.parametrize("loader", [AdaptSignProcessor, AutoProcessor])
def test_settings_of_decoding_are_saved(processor, auto_classes, tmp_path, loader):
    processor.configure_decoding("beam", 7, gloss_bonus=1.5)
    processor.save_pretrained(tmp_path)
    loaded = loader.from_pretrained(tmp_path)
    assert (loaded.decoder, loaded.num_beams, loaded.gloss_bonus) == ("beam", 7, 1.5)
    assert loaded.language_model is None
    assert loaded.batch_decode(OPEN) == ["A", "A C+D"]


@pytest.mark.parametrize("loader", [AdaptSignProcessor, AutoProcessor])
def test_the_language_model_travels_with_the_processor(processor, auto_classes, arpa, tmp_path, loader):
    processor.configure_decoding(language_model=arpa, language_model_weight=0.4)
    processor.batch_decode(OPEN)  # an open language model is not in the way
    processor.save_pretrained(tmp_path / "one")
    assert str(arpa) not in (tmp_path / "one" / "processor_config.json").read_text()
    (tmp_path / "one").rename(tmp_path / "moved")
    arpa.unlink()
    loaded = loader.from_pretrained(tmp_path / "moved")
    assert loaded.language_model == str(tmp_path / "moved" / "language_model.arpa")
    assert (loaded.decoder, loaded.language_model_weight) == ("language_model", 0.4)
    assert loaded.batch_decode(OPEN)[1] == "A B"
    loaded.save_pretrained(tmp_path / "moved")  # onto itself
    loaded.save_pretrained(tmp_path / "again")
    assert loader.from_pretrained(tmp_path / "again").batch_decode(OPEN)[1] == "A B"


def test_the_saved_code_decodes_with_the_language_model(processor, arpa, tmp_path):
    processor.configure_decoding(language_model=arpa)
    processor.save_pretrained(tmp_path / "saved")
    saved_class = get_class_from_dynamic_module("processing_adaptsign.AdaptSignProcessor", tmp_path / "saved")
    assert saved_class is not AdaptSignProcessor
    loaded = saved_class.from_pretrained(tmp_path / "saved")
    assert type(loaded) is saved_class
    assert loaded.language_model == str(tmp_path / "saved" / "language_model.arpa")
    assert loaded.batch_decode(OPEN)[1] == "A B"
    assert [sentence.glosses for sentence in loaded.batch_decode(OPEN, n_best=2)[1]] == ["A B", "A C+D"]


def test_a_lost_language_model_is_told(processor, arpa, tmp_path):
    processor.configure_decoding(language_model=arpa)
    processor.save_pretrained(tmp_path / "saved")
    (tmp_path / "saved" / "language_model.arpa").unlink()
    with pytest.raises(OSError, match=r"language_model\.arpa"):
        AdaptSignProcessor.from_pretrained(tmp_path / "saved")


def test_processors_saved_before_there_were_settings_decode_greedily(processor, tmp_path):
    processor.save_pretrained(tmp_path)
    file = tmp_path / "processor_config.json"
    settings = json.loads(file.read_text())
    old = {name: settings[name] for name in ("processor_class", "video_processor")}
    assert old.keys() < settings.keys()
    file.write_text(json.dumps(old))
    loaded = AdaptSignProcessor.from_pretrained(tmp_path)
    assert (loaded.decoder, loaded.num_beams, loaded.language_model) == ("greedy", 10, None)
    assert loaded.batch_decode(OPEN) == ["", "A C+D"]


def test_a_setting_can_be_given_when_loading(processor, tmp_path):
    processor.save_pretrained(tmp_path)
    assert AdaptSignProcessor.from_pretrained(tmp_path, decoder="beam").decoder == "beam"


def test_the_language_model_is_found_in_a_copy_from_the_hub(processor, auto_classes, arpa, tmp_path):
    """As huggingface_hub keeps what it downloaded."""
    commit = "0" * 40
    repository = tmp_path / "cache" / "models--someone--signs"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(commit)
    processor.configure_decoding(language_model=arpa)
    processor.save_pretrained(repository / "snapshots" / commit)
    StandInConfig().save_pretrained(repository / "snapshots" / commit)
    loaded = AdaptSignProcessor.from_pretrained(
        "someone/signs", cache_dir=tmp_path / "cache", local_files_only=True, trust_remote_code=False
    )
    assert loaded.language_model == str(repository / "snapshots" / commit / "language_model.arpa")
    assert loaded.batch_decode(OPEN)[1] == "A B"
