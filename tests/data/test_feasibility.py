from itertools import groupby, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adaptsign_hf.data.feasibility import leave_out_infeasible, required_frames, required_steps
from adaptsign_hf.data.folder import Clip

BLANK = "-"
SENTENCES = st.lists(st.sampled_from("AB"), max_size=4)


def paths_of(steps):
    """What every CTC path of `steps` steps over two glosses and the blank reads."""
    return {
        tuple(label for label, _ in groupby(path) if label != BLANK) for path in product(f"{BLANK}AB", repeat=steps)
    }


READABLE = [paths_of(steps) for steps in range(8)]


@given(SENTENCES)
def test_required_steps_are_the_shortest_path_there_is(glosses):
    shortest = next(steps for steps, readable in enumerate(READABLE) if tuple(glosses) in readable)
    assert required_steps(glosses) == shortest


@given(SENTENCES.filter(bool), st.integers(1, 28))
def test_a_label_fits_exactly_when_the_frames_suffice(glosses, frames):
    steps = -(-frames // 4)
    assert (frames >= required_frames(glosses)) == (tuple(glosses) in READABLE[steps])


@pytest.mark.parametrize(
    ("sentence", "steps", "frames"), [("A", 1, 1), ("A B", 2, 5), ("A A", 3, 9), ("A A A", 5, 17), ("A B A", 3, 9)]
)
def test_worked_cases(sentence, steps, frames):
    assert required_steps(sentence.split()) == steps
    assert required_frames(sentence.split()) == frames


def test_clips_without_room_are_left_out_by_name():
    clips = [Clip(name, None, tuple(gloss.split())) for name, gloss in [("a", "A B"), ("b", "A A"), ("c", "A A")]]
    kept, left_out = leave_out_infeasible(clips, [5, 8, 9])
    assert kept == [0, 2]
    assert [clip.name for clip in left_out] == ["b"]
    assert left_out[0].reason.startswith("its 2 glosses need 3 output steps, but its 8 frames give only 2")


def test_each_clip_needs_its_number_of_frames():
    with pytest.raises(ValueError, match="shorter"):
        leave_out_infeasible([Clip("a", None, ("A",))], [])
