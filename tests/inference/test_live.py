import math

import numpy as np
import pytest
import torch

from adaptsign_hf.inference.live import BestPath, LiveRecognizer, latency_frames
from adaptsign_hf.inference.recognition import recognize_video
from adaptsign_hf.modeling.tokenization_adaptsign import collapse_ctc
from adaptsign_hf.modeling.video_reading_adaptsign import iter_frames


@pytest.fixture
def recognizer(model_and_processor):
    return LiveRecognizer(*model_and_processor, fps=6)


def moving_images(number, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (number, 40, 40, 3), dtype=np.uint8)


def offline(model_and_processor, images):
    model, processor = model_and_processor
    with torch.no_grad():
        return model(**processor(videos=images)).logits[0].log_softmax(dim=-1)


def test_in_the_end_it_is_the_reading_without_a_stream(model_and_processor, clips):
    for clip in clips:
        recognizer = LiveRecognizer(*model_and_processor, fps=6)
        frames = list(iter_frames(clip.path))
        for frame in frames:
            recognizer.push(frame)
        result = recognizer.finish()
        assert " ".join(result.glosses) == recognize_video(*model_and_processor, clip.path)
        assert (result.first_step, result.num_frames) == (0, len(frames))
        torch.testing.assert_close(result.log_probs, offline(model_and_processor, np.stack(frames)), rtol=0, atol=1e-5)


@pytest.mark.parametrize(("window_steps", "lookahead_steps"), [(6, 2), (30, 0), (30, 5), (5, 4)])
def test_stable_glosses_are_never_revised(model_and_processor, window_steps, lookahead_steps):
    recognizer = LiveRecognizer(
        *model_and_processor, fps=6, window_steps=window_steps, lookahead_steps=lookahead_steps
    )
    before = ()
    tentative_seen = False
    for index, image in enumerate(moving_images(90)):
        update = recognizer.push(image)
        assert update.stable[: len(before)] == before
        assert index + 1 == pytest.approx(update.seconds * 6)
        before, tentative_seen = update.stable, tentative_seen or bool(update.tentative)
    result = recognizer.finish()
    assert result.stable[: len(before)] == before
    assert len(before) > 3
    assert tentative_seen == (lookahead_steps > 0)
    assert len(result.log_probs) == min(window_steps, 23)
    assert result.first_step + len(result.log_probs) == 23
    assert recognizer.latest().stable == result.stable
    assert recognizer.latest().tentative == ()


def test_it_reads_as_the_newest_window_says(model_and_processor):
    model, processor = model_and_processor
    recognizer = LiveRecognizer(model, processor, fps=6, lookahead_steps=3)
    images = moving_images(60)
    with torch.no_grad():
        features = model.model(**processor(videos=images)).padded_hidden_state
        hidden = model.convolutions(features, [features.shape[1]])[0]
    stable_classes = []
    for index, image in enumerate(images):
        update = recognizer.push(image)
        steps = max((index - 11) // 4 + 1, 0)  # what `latency_frames` says
        if steps == 0:
            assert (update.stable, update.tentative) == ((), ())
            continue
        with torch.no_grad():
            best = model.classifier(model.bilstm(hidden[:, :steps], [steps]))[0].argmax(dim=-1).tolist()
        stable_classes += best[len(stable_classes) : max(steps - 3, 0)]
        names = processor.tokenizer.convert_ids_to_tokens
        assert update.stable == tuple(names(collapse_ctc(stable_classes)))
        everything = collapse_ctc(stable_classes + best[len(stable_classes) :])
        assert update.stable + update.tentative == tuple(names(everything))


def test_the_latency_is_stated(recognizer):
    assert latency_frames(cross_frame_radius=2, lookahead_steps=0) == 11
    assert latency_frames(cross_frame_radius=2, lookahead_steps=4) == 27
    for image in moving_images(20):
        recognizer.push(image)
    report = recognizer.report()
    assert (report.tentative_latency, report.stable_latency) == (11 / 6, 27 / 6)
    assert (report.frames_read, report.frames_dropped, report.seconds) == (20, 0, 20 / 6)
    assert report.real_time_factor == report.processing_seconds / report.seconds > 0
    assert 0 < report.slowest_read <= report.processing_seconds


def test_before_the_first_frame_there_is_nothing(recognizer):
    assert recognizer.latest().stable == recognizer.latest().tentative == ()
    assert recognizer.latest().seconds == 0
    assert math.isnan(recognizer.report().real_time_factor)


def test_frames_with_times_are_resampled_as_those_of_a_file(model_and_processor, monkeypatch):
    model, processor = model_and_processor
    images = moving_images(40)
    expected = offline(model_and_processor, images[::2].repeat(3, axis=0))  # 6 frames a second, shown at 18
    monkeypatch.setattr(processor.video_processor, "fps", 18.0)
    recognizer = LiveRecognizer(model, processor)
    for index, image in enumerate(images[::2]):
        recognizer.push(image, time=100 + index / 6)
    result = recognizer.finish()
    assert result.num_frames == 60
    torch.testing.assert_close(result.log_probs, expected, rtol=0, atol=1e-5)
    assert recognizer.report().frames_read == 20  # copies are not read again


def test_a_pause_longer_than_the_window_is_survived(model_and_processor, monkeypatch):
    model, processor = model_and_processor
    monkeypatch.setattr(processor.video_processor, "fps", 10.0)
    recognizer = LiveRecognizer(model, processor, window_steps=8, lookahead_steps=2)
    for time, image in zip([0, 0.1, 5000, 5000.1], moving_images(4), strict=True):
        recognizer.push(image, time)
    result = recognizer.finish()
    assert result.num_frames == 1 + 4 * 8 + 1 + 1
    assert len(result.log_probs) == 8


def held_numbers(recognizer):
    parts = [recognizer._hidden, recognizer._log_probs, recognizer._steps._features]
    frames = recognizer._steps._frames
    parts += [frames._class_tokens, frames._queries, frames._products]
    lists = [recognizer._stable_classes, frames._sources]
    return sum(part.untyped_storage().nbytes() for part in parts) + sum(map(len, lists))


def test_what_it_holds_does_not_grow(model_and_processor):
    recognizer = LiveRecognizer(*model_and_processor, fps=6, window_steps=5, lookahead_steps=2)
    sizes = []
    for image in moving_images(120):
        recognizer.push(image)
        sizes.append(held_numbers(recognizer) if recognizer._hidden is not None else 0)
    assert max(sizes[60:]) == max(sizes[:60]) > 0


def test_a_best_path_in_pieces_is_the_whole_one():
    path = BestPath(0)
    for piece in ([0, 1, 1], [1, 0], [0, 1], [2, 2, 3], [], [3]):
        path.extend(piece)
    assert path.glosses == [1, 1, 2, 3]
    assert path.followed_by([3, 0, 3, 1]) == [3, 1]
    assert path.glosses == [1, 1, 2, 3]


def test_misuse_is_told(model_and_processor, recognizer):
    model, processor = model_and_processor
    with pytest.raises(ValueError, match="without a frame"):
        recognizer.finish()
    with pytest.raises(ValueError, match="no image"):
        recognizer.push(moving_images(1)[0][:, :, :2])
    with pytest.raises(ValueError, match="fps"):
        LiveRecognizer(model, processor).push(moving_images(1)[0])
    with pytest.raises(ValueError, match="lookahead of 5"):
        LiveRecognizer(model, processor, window_steps=5, lookahead_steps=5)
    recognizer.push(moving_images(1)[0])
    recognizer.finish()
    with pytest.raises(ValueError, match="finished"):
        recognizer.push(moving_images(1)[0])
    with pytest.raises(ValueError, match="finished"):
        recognizer.finish()
