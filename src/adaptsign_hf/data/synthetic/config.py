"""Configuration of the synthetic corpus."""

from dataclasses import dataclass


@dataclass(frozen=True)
class SyntheticCorpusConfig:
    """What to render.

    Each clip depends on `seed`, its split and its index alone: a corpus with more sentences contains the smaller one
    unchanged.

    Attributes:
        seed: Seed of all random choices, not negative.
        num_train: Sentences of the split `train`.
        num_dev: Sentences of the split `dev`: the signers of `train`, unseen sentences.
        num_test: Sentences of the split `test`: the signers of `train`, sentences unseen in `train` and `dev`.
        num_test_signer: Sentences of the split `test_signer`: unseen signers and unseen sentences.
        min_glosses: Least number of glosses in a sentence.
        max_glosses: Greatest number of glosses in a sentence.
        frame_size: Width and height of the frames in pixels, an even number.
        fps: Frames per second. Motion is defined in seconds, so this does not change the speed of signing.
        camera_jitter: Greatest shift and zoom of the hand-held camera as a fraction of the frame, at most 0.05.
    """

    seed: int = 0
    num_train: int = 400
    num_dev: int = 40
    num_test: int = 60
    num_test_signer: int = 60
    min_glosses: int = 3
    max_glosses: int = 8
    frame_size: int = 128
    fps: float = 12.5
    camera_jitter: float = 0.015

    def __post_init__(self) -> None:
        for field in ("seed", "num_train", "num_dev", "num_test", "num_test_signer"):
            if getattr(self, field) < 0:
                raise ValueError(f"{field} must not be negative, got {getattr(self, field)}.")
        if not 3 <= self.min_glosses <= self.max_glosses:
            raise ValueError(
                f"Sentences need 3 <= min_glosses <= max_glosses, got {self.min_glosses} and {self.max_glosses}."
            )
        # yuv420p, the pixel format every player understands, halves both sides.
        if self.frame_size < 32 or self.frame_size % 2:
            raise ValueError(f"frame_size must be an even number of at least 32 pixels, got {self.frame_size}.")
        if self.fps <= 0:
            raise ValueError(f"fps must be positive, got {self.fps}.")
        if not 0 <= self.camera_jitter <= 0.05:
            raise ValueError(f"camera_jitter must lie between 0 and 0.05, got {self.camera_jitter}.")

    @property
    def num_sentences(self) -> dict[str, int]:
        """Number of sentences of each split."""
        return {
            "train": self.num_train,
            "dev": self.num_dev,
            "test": self.num_test,
            "test_signer": self.num_test_signer,
        }
