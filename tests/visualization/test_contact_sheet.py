import numpy as np
import pytest

from adaptsign_hf.visualization.contact_sheet import contact_sheet


def frames(number):
    return np.repeat(np.linspace(0, 200, number).astype(np.uint8), 20 * 30 * 3).reshape(number, 20, 30, 3)


def test_shows_evenly_spaced_frames_from_first_to_last():
    sheet = np.asarray(contact_sheet(frames(21), columns=3, rows=1))
    greys = [level for level in np.unique(sheet) if level != 255]
    assert greys == [0, 100, 200]


def test_short_video_fills_fewer_rows():
    full, short = contact_sheet(frames(16), columns=4, rows=2), contact_sheet(frames(3), columns=4, rows=2)
    assert short.width < full.width
    assert short.height < full.height


def test_captions_take_their_own_line():
    plain, captioned = contact_sheet(frames(4)), contact_sheet(frames(4), captions=["RAIN", "", "", "SNOW"])
    assert captioned.height > plain.height
    assert captioned.width == plain.width


def test_wrong_input_is_refused():
    with pytest.raises(ValueError, match="at least one frame"):
        contact_sheet(frames(0))
    with pytest.raises(ValueError, match="3 captions do not match 4 frames"):
        contact_sheet(frames(4), captions=["A", "B", "C"])
