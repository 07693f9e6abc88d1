"""From a sentence to its frames: motion, background, camera and light of one clip."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from adaptsign_hf.data.synthetic.config import SyntheticCorpusConfig
from adaptsign_hf.data.synthetic.drawing import SUPERSAMPLING, VISIBLE_UNITS, View, draw_background, draw_signer
from adaptsign_hf.data.synthetic.motion import Motion, SignTiming
from adaptsign_hf.data.synthetic.signers import Signer

# The background is larger than the picture by this factor, so that the moving camera never sees its edge.
_BACKGROUND_MARGIN = 1.2


@dataclass(frozen=True)
class RenderedSentence:
    """A rendered sentence and what the renderer knows about it.

    Attributes:
        frames: RGB frames, `(frames, frame_size, frame_size, 3)`, `uint8`.
        fps: Frames per second.
        timings: When each sign is performed, in the order of the sentence.
        hands: Regions of the dominant and the other hand as centre `x`, centre `y` and radius in pixels,
            `(frames, 2, 3)`, `float32`. A centre may lie outside the picture.
    """

    frames: np.ndarray
    fps: float
    timings: list[SignTiming]
    hands: np.ndarray

    @property
    def frame_glosses(self) -> list[str]:
        """For each frame the gloss that is signed at that time, empty at rest and in transitions."""
        times = np.arange(len(self.frames)) / self.fps
        return [next((sign.gloss for sign in self.timings if sign.start <= time < sign.end), "") for time in times]


class _Camera:
    """A hand-held camera: smooth random shifts (in fractions of the frame) and zoom over time."""

    def __init__(self, rng: np.random.Generator, amplitude: float):
        self.amplitudes = amplitude * rng.uniform(0.3, 1.0, 3)
        self.frequencies = rng.uniform(0.15, 0.6, (2, 3))
        self.phases = rng.uniform(0.0, 2.0 * np.pi, (2, 3))

    def at(self, time: float) -> tuple[float, float, float]:
        waves = np.sin(2.0 * np.pi * self.frequencies * time + self.phases).mean(axis=0)
        x, y, zoom = self.amplitudes * waves
        return x, y, 1.0 + zoom


def render_sentence(
    glosses: Sequence[str], signer: Signer, config: SyntheticCorpusConfig, seed: int | Sequence[int]
) -> RenderedSentence:
    """Render one sentence.

    Args:
        glosses: Glosses of the sentence, each a key of `LEXICON`.
        signer: Who signs.
        config: Gives `frame_size`, `fps` and `camera_jitter`; the sizes of the splits are not used.
        seed: Determines timing, background, camera and light; equal arguments give equal frames.

    Returns:
        The frames with the times of the signs and the positions of the hands.

    Raises:
        ValueError: If a gloss is not in the lexicon.
    """
    rng = np.random.default_rng(seed)
    motion = Motion(glosses, signer, rng)
    camera = _Camera(rng, config.camera_jitter)
    brightness, contrast = rng.uniform(-14.0, 14.0), rng.uniform(0.88, 1.1)
    canvas_size = SUPERSAMPLING * config.frame_size
    # Individual framing of the clip on top of the signer's usual one.
    scale = signer.scale * rng.uniform(0.97, 1.03)
    offset = complex(*signer.offset) + complex(*rng.normal(0.0, 0.01, 2))
    background = draw_background(round(_BACKGROUND_MARGIN * canvas_size), rng)
    light = ((np.arange(256) - 128.0) * contrast + 128.0 + brightness).clip(0.0, 255.0).astype(np.uint8)

    num_frames = max(1, round(motion.duration * config.fps))
    frames = np.empty((num_frames, config.frame_size, config.frame_size, 3), dtype=np.uint8)
    hands = np.empty((num_frames, 2, 3), dtype=np.float32)
    for index in range(num_frames):
        time = index / config.fps
        x, y, zoom = camera.at(time)
        middle, half = background.width / 2.0, canvas_size / 2.0 / zoom
        left, top = middle - half - x * canvas_size, middle - half - y * canvas_size
        canvas = background.transform(
            (canvas_size, canvas_size),
            Image.Transform.EXTENT,
            (left, top, left + 2.0 * half, top + 2.0 * half),
        )
        view = View(
            centre=canvas_size * (complex(0.5, 0.5) + offset + complex(x, y)),
            unit=canvas_size / VISIBLE_UNITS * scale * zoom,
        )
        hands[index] = draw_signer(canvas, motion.pose(time), signer, view) / SUPERSAMPLING
        frames[index] = light[np.asarray(canvas.reduce(SUPERSAMPLING))]
    return RenderedSentence(frames, config.fps, motion.timings, hands)
