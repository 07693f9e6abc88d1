"""The signers of the synthetic corpus: build, colours, speed, hand dominance and framing.

A body unit is the length in which all bodies are described; the camera shows about three of them from top to bottom.
The origin of the body is the point between the shoulders.
"""

from dataclasses import dataclass

Colour = tuple[int, int, int]
"""Red, green and blue, from 0 to 255 each."""


@dataclass(frozen=True)
class Signer:
    """One signer.

    Attributes:
        name: Identifier written to `metadata.csv`.
        skin: Colour of face and hands.
        hair: Colour of the hair.
        clothing: Colour of trunk and sleeves.
        long_hair: Whether the hair reaches the shoulders.
        long_sleeves: Whether the sleeves reach the wrists; otherwise they end at the elbows.
        head: Size of the head relative to the average.
        shoulders: Distance between the shoulders relative to the average.
        arms: Length of the arms relative to the average.
        hands: Size of the hands relative to the average.
        speed: How fast the signer signs relative to the average.
        left_handed: Whether the left hand is the dominant one.
        scale: Size of the signer in the picture relative to the average.
        offset: Shift of the signer in the picture, to the right and down, as a fraction of the frame.
    """

    name: str
    skin: Colour
    hair: Colour
    clothing: Colour
    long_hair: bool = False
    long_sleeves: bool = True
    head: float = 1.0
    shoulders: float = 1.0
    arms: float = 1.0
    hands: float = 1.0
    speed: float = 1.0
    left_handed: bool = False
    scale: float = 1.0
    offset: tuple[float, float] = (0.0, 0.0)


# fmt: off
TRAIN_SIGNERS: tuple[Signer, ...] = (
    Signer("signer01", (236, 188, 160), (70, 45, 30), (40, 60, 110)),
    Signer("signer02", (141, 88, 60), (25, 20, 20), (190, 190, 180), True, True, 0.94, 0.90, 0.96, 0.97, 1.15,
           offset=(0.02, 0.0)),
    Signer("signer03", (224, 172, 135), (150, 105, 55), (30, 30, 34), False, False, 1.04, 1.12, 1.05, 1.06, 0.88,
           scale=0.95),
    Signer("signer04", (246, 208, 184), (190, 150, 90), (110, 35, 55), True, True, 0.97, 0.93, 0.97, 0.96, 1.05,
           left_handed=True, scale=1.04, offset=(-0.02, 0.01)),
    Signer("signer05", (104, 64, 45), (20, 16, 16), (70, 130, 110), False, True, 1.0, 1.08, 1.04, 1.05, 0.95,
           offset=(0.0, 0.02)),
    Signer("signer06", (214, 160, 122), (35, 28, 26), (235, 225, 200), False, True, 1.06, 1.0, 1.0, 1.0, 1.22,
           scale=0.92, offset=(0.03, 0.01)),
    Signer("signer07", (240, 198, 170), (120, 120, 125), (85, 90, 60), False, False, 1.0, 1.1, 1.0, 1.04, 0.82,
           scale=1.03),
    Signer("signer08", (170, 113, 80), (45, 30, 25), (120, 80, 150), True, True, 0.93, 0.88, 0.94, 0.95, 1.1,
           left_handed=True, scale=0.96, offset=(0.01, 0.02)),
    Signer("signer09", (228, 178, 150), (165, 75, 40), (45, 105, 140), True, False, 0.98, 0.95, 0.98, 0.98, 1.0,
           scale=1.02, offset=(-0.03, 0.0)),
    Signer("signer10", (124, 77, 52), (60, 55, 55), (205, 170, 70), False, True, 1.03, 1.05, 1.06, 1.06, 0.9,
           left_handed=True, offset=(0.0, -0.01)),
)
"""Signers of the splits `train`, `dev` and `test`."""

UNSEEN_SIGNERS: tuple[Signer, ...] = (
    Signer("signer11", (232, 182, 148), (90, 60, 35), (150, 60, 40), False, True, 1.02, 1.03, 1.02, 1.02, 0.93,
           scale=0.98, offset=(0.02, 0.01)),
    Signer("signer12", (155, 100, 70), (30, 24, 24), (60, 75, 85), True, True, 0.95, 0.92, 0.96, 0.97, 1.12,
           left_handed=True, scale=1.0, offset=(-0.02, 0.01)),
    Signer("signer13", (218, 165, 130), (50, 40, 35), (150, 165, 120), False, False, 1.0, 1.06, 1.0, 1.0, 1.04,
           scale=0.94, offset=(0.01, -0.01)),
)
"""Signers of the split `test_signer`, who appear nowhere else."""
# fmt: on

SIGNERS: dict[str, Signer] = {signer.name: signer for signer in TRAIN_SIGNERS + UNSEEN_SIGNERS}
"""Every signer by name."""
