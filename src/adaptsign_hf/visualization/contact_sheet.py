"""One picture of a video: evenly spaced frames in a grid, each with a caption."""

from collections.abc import Sequence
from math import ceil

import numpy as np
from PIL import Image, ImageDraw, ImageFont

_GAP = 4
_FONT_SIZE = 13
_CAPTION_HEIGHT = 18


def contact_sheet(
    frames: np.ndarray, columns: int = 8, rows: int = 2, captions: Sequence[str] | None = None
) -> Image.Image:
    """Show a video as a grid of evenly spaced frames, read line by line.

    Args:
        frames: RGB frames, `(frames, height, width, 3)`, `uint8`.
        columns: Number of frames in a row.
        rows: Greatest number of rows; a short video fills fewer.
        captions: One caption a frame of the video, for example `RenderedSentence.frame_glosses`; no captions if
            `None`.

    Returns:
        The picture, in which the frames keep their size.

    Raises:
        ValueError: If there are no frames, or the number of captions is not the number of frames.

    Example:
        The picture of the synthetic corpus in the README:

        >>> from adaptsign_hf.data.synthetic import SIGNERS, SyntheticCorpusConfig, render_sentence
        >>> glosses = ["MORNING", "SUN", "EVENING", "CLOUD", "WIND", "RAIN"]
        >>> sentence = render_sentence(glosses, SIGNERS["signer09"], SyntheticCorpusConfig(), seed=3)
        >>> sheet = contact_sheet(sentence.frames, columns=8, rows=2, captions=sentence.frame_glosses)
        >>> sheet.quantize(256).save("docs/images/synthetic_sentence.png", optimize=True)
    """
    if len(frames) == 0:
        raise ValueError("A contact sheet needs at least one frame.")
    if captions is not None and len(captions) != len(frames):
        raise ValueError(f"{len(captions)} captions do not match {len(frames)} frames.")
    shown = np.linspace(0, len(frames) - 1, min(columns * rows, len(frames))).round().astype(int)
    height, width = frames.shape[1:3]
    cell_width, cell_height = width + _GAP, height + _GAP + (_CAPTION_HEIGHT if captions else 0)
    columns, rows = min(columns, len(shown)), ceil(len(shown) / columns)
    sheet = Image.new("RGB", (columns * cell_width + _GAP, rows * cell_height + _GAP), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(_FONT_SIZE)
    for position, index in enumerate(shown):
        row, column = divmod(position, columns)
        left, top = _GAP + column * cell_width, _GAP + row * cell_height
        sheet.paste(Image.fromarray(frames[index]), (left, top))
        if captions:
            middle = (left + width / 2, top + height + _CAPTION_HEIGHT / 2)
            draw.text(middle, captions[index], fill="black", font=font, anchor="mm")
    return sheet
