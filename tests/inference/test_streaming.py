import itertools
import weakref

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adaptsign_hf.inference.frame_stream import StepStream
from adaptsign_hf.inference.recognition import recognize_video
from adaptsign_hf.inference.streaming import (
    HeadWindow,
    cut_segments,
    iter_log_probs,
    iter_segments,
    recognize_stream,
)
from adaptsign_hf.modeling.processing_adaptsign import AdaptSignProcessor
from adaptsign_hf.modeling.tokenization_adaptsign import collapse_ctc

quickly = settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def tiny_processor():
    return AdaptSignProcessor.from_glosses([f"G{index}" for index in range(1, 11)], image_size=32)


def random_frames(number):
    return torch.randn(number, 3, 32, 32, generator=torch.Generator().manual_seed(number))


def offline_log_probs(model, frames):
    with torch.no_grad():
        return model(frames[None]).logits[0].log_softmax(dim=-1)


@quickly
@given(number=st.integers(1, 40), data=st.data())
def test_a_clip_that_fits_into_the_window_is_read_as_without_a_stream(tiny_model, tiny_processor, number, data):
    frames = random_frames(number)
    cuts = data.draw(st.lists(st.integers(0, number), max_size=6).map(sorted))
    chunks = [frames[start:end] for start, end in itertools.pairwise([0, *cuts, number])]
    expected = offline_log_probs(tiny_model, frames)
    (segment,) = recognize_stream(tiny_model, chunks, HeadWindow(left_context=2, hop=4, lookahead=4))
    assert (segment.first_step, segment.first_frame, segment.num_frames) == (0, 0, number)
    torch.testing.assert_close(segment.log_probs, expected, rtol=0, atol=1e-5)
    assert tiny_processor.batch_decode(segment.log_probs[None]) == tiny_processor.batch_decode(expected[None])


@quickly
@given(
    number=st.integers(1, 120),
    size=st.integers(1, 50),
    left_context=st.integers(0, 4),
    hop=st.integers(1, 5),
    lookahead=st.integers(0, 4),
    segment_steps=st.integers(1, 8),
)
def test_a_small_window_gives_each_step_once(tiny_model, number, size, left_context, hop, lookahead, segment_steps):
    frames, window = random_frames(number), HeadWindow(left_context, hop, lookahead)
    segments = list(recognize_stream(tiny_model, frames.split(size), window, segment_steps))
    expected_first = 0
    for segment in segments:
        assert segment.first_step == expected_first
        assert 1 <= len(segment.log_probs) <= 2 * segment_steps
        expected_first += len(segment.log_probs)
    assert expected_first == -(-number // 4)
    assert sum(segment.num_frames for segment in segments) == number
    assert all(segment.num_frames == 4 * len(segment.log_probs) for segment in segments[:-1])
    sums = torch.cat([segment.log_probs for segment in segments]).exp().sum(dim=-1)
    torch.testing.assert_close(sums, torch.ones_like(sums))


def test_each_step_is_read_from_its_window(tiny_model):
    window = HeadWindow(left_context=3, hop=4, lookahead=2)
    frames = random_frames(100)  # 25 steps
    with torch.no_grad():
        features = tiny_model.model(frames[None]).padded_hidden_state
        hidden = tiny_model.convolutions(features, [features.shape[1]])[0]

        def read(start, end):
            logits = tiny_model.classifier(tiny_model.bilstm(hidden[:, start:end], [end - start]))[0]
            return logits.log_softmax(dim=-1)

        expected = torch.cat(
            [read(0, 9)[:7], read(4, 13)[3:7], read(8, 17)[3:7], read(12, 21)[3:7], read(16, 25)[3:9]]
        )
    blocks = list(iter_log_probs(tiny_model, StepStream(tiny_model), frames.split(30), window))
    assert [first for first, _ in blocks] == [0, 7, 11, 15, 19]
    torch.testing.assert_close(torch.cat([block for _, block in blocks]), expected, rtol=0, atol=1e-5)


def test_a_long_stream_is_read_in_pieces_before_it_ends(tiny_model):
    pushed = 0

    def camera():
        nonlocal pushed
        while True:  # it never ends
            pushed += 8
            yield random_frames(8)

    segments = recognize_stream(tiny_model, camera(), HeadWindow(2, 4, 2), segment_steps=4)
    for _ in range(5):
        segment = next(segments)
        waiting_steps = pushed // 4 - (segment.first_step + len(segment.log_probs))
        assert waiting_steps <= 2 * 8 + 8 + 2  # a segment, a window, a chunk: that is all that waits
    segments.close()


one_hot_paths = st.lists(st.integers(0, 3), min_size=1, max_size=60)


@settings(max_examples=300, deadline=None)
@given(path=one_hot_paths, seed=st.integers(0, 1000), segment_steps=st.integers(2, 6), block=st.integers(1, 7))
def test_greedy_over_segments_is_greedy_over_the_whole(path, seed, segment_steps, block):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(len(path), 4, generator=generator)
    logits[range(len(path)), path] += 6 * torch.rand(len(path), generator=generator)
    log_probs = logits.log_softmax(dim=-1)
    best = log_probs.argmax(dim=-1).tolist()
    if any(gloss and len(list(run)) > segment_steps for gloss, run in itertools.groupby(best)):
        return  # a gloss that long is cut, as documented
    blocks = [(start, log_probs[start : start + block]) for start in range(0, len(path), block)]
    segments = list(cut_segments(blocks, 0, segment_steps))
    assert torch.equal(torch.cat([part for _, part in segments]), log_probs)
    assert [first for first, _ in segments] == [0, *itertools.accumulate(len(part) for _, part in segments[:-1])]
    pieces = [collapse_ctc(part.argmax(dim=-1).tolist()) for _, part in segments]
    assert [gloss for piece in pieces for gloss in piece] == collapse_ctc(best)


def log_probs_of(blank_probabilities):
    blank = torch.tensor(blank_probabilities)
    glosses = torch.stack([(1 - blank) * 0.8, (1 - blank) * 0.2], dim=-1)
    return torch.cat([blank[:, None], glosses], dim=-1).log()


def lengths_of(blank_probabilities, segment_steps):
    return [len(part) for _, part in cut_segments([(0, log_probs_of(blank_probabilities))], 0, segment_steps)]


def test_segments_end_with_a_sure_blank():
    assert lengths_of([0.95, 0.1, 0.95, 0.1, 0.1, 0.92, 0.99, 0.1], segment_steps=2) == [3, 3, 2]
    assert lengths_of([0.95] * 3, segment_steps=4) == [3]
    assert lengths_of([0.95] * 4, segment_steps=4) == [4]


def test_without_a_sure_blank_the_best_one_serves():
    assert lengths_of([0.1, 0.1, 0.6, 0.8, 0.1, 0.1, 0.1, 0.1, 0.1], segment_steps=3) == [4, 5]


def test_a_video_is_read_as_its_decoded_logits(model_and_processor, clips):
    model, processor = model_and_processor
    for clip in clips:
        (segment,) = iter_segments(model, processor, clip.path)
        assert segment.num_frames == len(processor.video_processor.load_video_frames(clip.path))
        assert processor.batch_decode(segment.log_probs[None]) == [recognize_video(model, processor, clip.path)]
        segment.log_probs.zero_()  # the caller's own, to be changed at will


def test_only_a_chunk_of_frames_is_held(model_and_processor, monkeypatch):
    model, processor = model_and_processor
    held: list[weakref.ref] = []
    most_held = 0

    def decoded_frames(video):
        nonlocal most_held
        for index in range(300):
            frame = torch.full((3, 37, 37), index % 256, dtype=torch.uint8)
            held[:] = [reference for reference in held if reference() is not None] + [weakref.ref(frame)]
            most_held = max(most_held, len(held))
            yield frame

    monkeypatch.setattr(processor.video_processor, "iter_video_frames", decoded_frames)
    segments = list(iter_segments(model, processor, "any.mp4", HeadWindow(4, 8, 4), segment_steps=4))
    assert sum(segment.num_frames for segment in segments) == 300
    assert 1 < most_held <= model.config.frame_chunk_size + 2


def test_misuse_is_told(model_and_processor, tiny_model, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"gone\.mp4"):
        next(iter_segments(*model_and_processor, tmp_path / "gone.mp4"))
    with pytest.raises(ValueError, match="without a frame"):
        next(recognize_stream(tiny_model, []))
    with pytest.raises(ValueError, match="hop"):
        HeadWindow(hop=0)
    with pytest.raises(ValueError, match="0 steps"):
        next(recognize_stream(tiny_model, [random_frames(4)], segment_steps=0))
    with pytest.raises(ValueError, match=r"model\.eval\(\)"):
        next(recognize_stream(tiny_model.train(), [random_frames(4)]))
