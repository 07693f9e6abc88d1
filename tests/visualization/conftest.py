"""A tiny model that reads something, and a clip of noise for it, as a video file."""

import numpy as np
import pytest
import torch

from adaptsign_hf.data.synthetic.corpus import write_video
from adaptsign_hf.modeling.processing_adaptsign import AdaptSignProcessor

NUM_FRAMES, FPS = 19, 12.5


@pytest.fixture
def processor():
    return AdaptSignProcessor.from_glosses([f"SIGN{number}" for number in range(1, 11)], 32)


@pytest.fixture
def reading_model(tiny_model):
    """`tiny_model` with weights so large in its BiLSTM that it reads something else in each step."""
    with torch.no_grad():
        for weights in tiny_model.bilstm.parameters():
            weights *= 5
    return tiny_model


@pytest.fixture
def video(tmp_path):
    """19 frames of 64 by 48 pixels at 12.5 frames a second: a bright square that moves to the right."""
    frames = np.random.default_rng(0).integers(0, 80, (NUM_FRAMES, 48, 64, 3), dtype=np.uint8)
    for index, frame in enumerate(frames):
        frame[10:30, 2 * index : 2 * index + 16] = 230
    path = tmp_path / "clip.mp4"
    write_video(path, frames, FPS)
    return path
