import itertools

import numpy as np
import pytest
from PIL import Image

from adaptsign_hf.decoding.annotation_files import Alternative
from adaptsign_hf.inference.recognition import best_combinations, recognize_segments, recognize_video
from adaptsign_hf.inference.streaming import iter_segments
from adaptsign_hf.modeling.video_reading_adaptsign import VideoReadError


def test_a_video_is_read_as_its_logits_say(model_and_processor, clips):
    model, processor = model_and_processor
    for clip in clips:
        output = model(**processor(videos=clip.path))
        path = output.logits[0].argmax(dim=-1).tolist()
        assert output.logit_lengths.tolist() == [len(path)]
        glosses = recognize_video(model, processor, clip.path)
        assert glosses == processor.tokenizer.decode(path)
        assert set(glosses.split()) <= set(processor.tokenizer.glosses)
    assert any(recognize_video(model, processor, str(clip.path)) for clip in clips)


def test_a_folder_of_images_is_read(model_and_processor, tmp_path):
    generator = np.random.default_rng(0)
    for number in range(9):
        Image.fromarray(generator.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(tmp_path / f"{number}.png")
    assert isinstance(recognize_video(*model_and_processor, tmp_path), str)


def test_no_gradients_are_kept(model_and_processor, clips, monkeypatch):
    model, processor = model_and_processor
    forward, outputs = model.forward, []
    monkeypatch.setattr(model, "forward", lambda **inputs: outputs.append(forward(**inputs)) or outputs[0])
    recognize_video(model, processor, clips[0].path)
    assert not outputs[0].logits.requires_grad


def test_a_missing_video_is_told(model_and_processor, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"gone\.mp4"):
        recognize_video(*model_and_processor, tmp_path / "gone.mp4")


def test_what_is_no_video_is_told(model_and_processor, tmp_path):
    (tmp_path / "empty.mp4").touch()
    with pytest.raises(VideoReadError, match=r"empty\.mp4"):
        recognize_video(*model_and_processor, tmp_path / "empty.mp4")


def alternatives(generator, number):
    """Readings of up to two glosses of three; best first, all different."""
    texts = [tuple(text) for length in range(3) for text in itertools.product("ABC", repeat=length)]
    scores = -generator.exponential(size=number)
    chosen = generator.permutation(len(texts))[:number]
    found = [Alternative(texts[index], float(score)) for index, score in zip(chosen, scores, strict=True)]
    return sorted(found, key=lambda reading: -reading.log_probability)


@pytest.mark.parametrize("seed", range(20))
def test_the_best_readings_of_stretches_make_the_best_of_the_whole(seed):
    generator = np.random.default_rng(seed)
    stretches = [alternatives(generator, 13) for _ in range(3)]
    scores = {}
    for readings in itertools.product(*stretches):
        text = sum((reading.glosses for reading in readings), ())
        scores[text] = max(scores.get(text, -np.inf), sum(reading.log_probability for reading in readings))
    brute_force = sorted(scores.items(), key=lambda item: -item[1])[:4]
    best = [Alternative((), 0.0)]
    for stretch in stretches:
        best = best_combinations(best, stretch[:4], 4)
    assert [reading.glosses for reading in best] == [text for text, _ in brute_force]
    assert [reading.log_probability for reading in best] == pytest.approx([score for _, score in brute_force])


@pytest.mark.parametrize("options", [{}, {"decoder": "beam", "n_best": 2}])
def test_a_video_in_segments_is_read_as_the_whole(model_and_processor, clips, options):
    model, processor = model_and_processor
    told = []
    for clip in clips:
        whole = list(iter_segments(model, processor, clip.path))
        segments = list(iter_segments(model, processor, clip.path, segment_steps=2))
        assert len(segments) > len(whole) == 1
        read = recognize_segments(processor, segments, 6.0, True, on_frames=told.append, **options)
        assert sum(told) == whole[0].num_frames
        told.clear()
        assert [gloss.gloss for gloss in read.timed] == list(read.glosses)
        assert all(before.end <= after.start for before, after in itertools.pairwise(read.timed))
        if options:
            assert read.alternatives[0].glosses == read.glosses
            assert len(read.alternatives) == 2
        else:
            assert read.glosses == recognize_segments(processor, whole).glosses
            assert read.alternatives == ()
