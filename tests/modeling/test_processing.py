"""The processor: videos and texts in, sentences out."""

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
from transformers.models.auto.processing_auto import PROCESSOR_MAPPING
from transformers.models.auto.video_processing_auto import VIDEO_PROCESSOR_MAPPING

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
