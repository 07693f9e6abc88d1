"""The classifier and the losses, against enumeration of all paths and the written formulas."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from adaptsign_hf.modeling.ctc_adaptsign import GlossClassifier, ctc_loss, distillation_loss


def collapse(path: tuple[int, ...], blank: int) -> list[int]:
    return [symbol for symbol, _ in itertools.groupby(path) if symbol != blank]


def ctc_by_enumeration(logits: torch.Tensor, labels: list[int], blank: int) -> float:
    """-log of the probability of every path that collapses to the labels; logits are (steps, classes)."""
    probabilities = logits.double().softmax(dim=-1).tolist()
    total = 0.0
    for path in itertools.product(range(logits.shape[1]), repeat=len(logits)):
        if collapse(path, blank) == labels:
            total += math.prod(step[symbol] for step, symbol in zip(probabilities, path, strict=True))
    return -math.log(total) if total else math.inf


@st.composite
def ctc_batches(draw):
    """Logits of a few clips, their steps, labels that fit, and the blank."""
    blank = draw(st.integers(0, 3))
    glosses = [symbol for symbol in range(4) if symbol != blank]
    paths = draw(st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=4), min_size=1, max_size=3))
    labels = [collapse(tuple(path), blank) for path in paths]  # so they fit
    assert all(set(row) <= set(glosses) for row in labels)
    torch.manual_seed(draw(st.integers(0, 1000)))
    steps = [len(path) for path in paths]
    return torch.randn(len(steps), max(steps), 4) * 2, steps, labels, blank


def padded(labels: list[list[int]], extra: int = 0) -> torch.Tensor:
    longest = max(map(len, labels)) + extra
    return torch.tensor([row + [-100] * (longest - len(row)) for row in labels], dtype=torch.long)


@settings(deadline=None, max_examples=40)
@given(ctc_batches(), st.integers(1, 2))
def test_ctc_is_the_mean_over_clips_of_their_enumerated_loss(batch, extra):
    logits, steps, labels, blank = batch
    expected = [
        ctc_by_enumeration(clip[:length], row, blank) for clip, length, row in zip(logits, steps, labels, strict=True)
    ]
    loss = ctc_loss(logits, steps, padded(labels, extra), blank)
    assert loss.item() == pytest.approx(sum(expected) / len(expected), rel=1e-4, abs=1e-4)


def test_ctc_sums_over_a_clip_without_dividing_by_its_length():
    logits = torch.zeros(1, 6, 4)  # every path has probability 4^-6; the empty sentence has one path
    assert ctc_loss(logits, [6], torch.full((1, 2), -100), 0).item() == pytest.approx(6 * math.log(4), rel=1e-5)


def test_ctc_of_labels_that_cannot_fit_is_infinite():
    assert ctc_loss(torch.randn(1, 2, 4), [2], torch.tensor([[1, 1]]), 0).isinf()


def test_ctc_ignores_logits_behind_the_end_and_gives_them_no_gradient():
    torch.manual_seed(0)
    logits = torch.randn(2, 5, 4)
    labels = torch.tensor([[1, 2], [3, -100]])
    changed = logits.clone()
    changed[1, 3:] = 100.0
    changed.requires_grad_()
    loss = ctc_loss(changed, [5, 3], labels, 0)
    torch.testing.assert_close(loss, ctc_loss(logits, [5, 3], labels, 0))
    loss.backward()
    assert not changed.grad[1, 3:].any()
    assert changed.grad[1, :3].all()


def test_ctc_is_computed_in_full_precision():
    logits = torch.randn(1, 5, 4, dtype=torch.bfloat16)
    labels = torch.tensor([[1, 2]])
    loss = ctc_loss(logits, [5], labels, 0)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, ctc_loss(logits.float(), [5], labels, 0))


def divergence_by_formula(student: list[float], teacher: list[float], blank: int, temperature: float) -> float:
    """τ²·KL(softmax(teacher/τ) ‖ softmax(student/τ)) of one step, the blank's column dropped first."""

    def soften(logits: list[float]) -> list[float]:
        powers = [math.exp(logit / temperature) for symbol, logit in enumerate(logits) if symbol != blank]
        return [power / sum(powers) for power in powers]

    p, q = soften(teacher), soften(student)
    return temperature**2 * sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))


@pytest.mark.parametrize("blank", [0, 2, 4])
@pytest.mark.parametrize("temperature", [1.0, 8.0])
def test_distillation_follows_the_formula_on_valid_steps(blank, temperature):
    torch.manual_seed(0)
    student, teacher = 4 * torch.randn(2, 3, 5), 4 * torch.randn(2, 3, 5)
    valid = torch.tensor([[True, True, True], [True, False, False]])
    expected = [
        divergence_by_formula(student[i, t].tolist(), teacher[i, t].tolist(), blank, temperature)
        for i, t in valid.nonzero().tolist()
    ]
    loss = distillation_loss(student, teacher, valid, blank, temperature)
    assert loss.item() == pytest.approx(sum(expected) / 4, rel=1e-4)


def test_distillation_teaches_the_student_only_and_ignores_the_blank_and_filler():
    torch.manual_seed(0)
    student = torch.randn(2, 3, 5, requires_grad=True)
    teacher = torch.randn(2, 3, 5, requires_grad=True)
    valid = torch.tensor([[True, True, True], [True, False, False]])
    distillation_loss(student, teacher, valid, 0, 8.0).backward()
    assert teacher.grad is None
    assert not student.grad[..., 0].any()
    assert not student.grad[1, 1:].any()
    assert student.grad[0, :, 1:].all()


def test_distillation_of_equal_predictions_is_zero():
    logits = torch.randn(1, 4, 6)
    blank_differs = logits.clone()
    blank_differs[..., 0] += 3
    loss = distillation_loss(logits, blank_differs, torch.ones(1, 4, dtype=torch.bool), 0, 8.0)
    assert loss.item() == pytest.approx(0, abs=1e-5)


def test_normalised_classifier_projects_on_unit_vectors():
    torch.manual_seed(0)
    classifier = GlossClassifier(6, 4, normalize=True)
    assert classifier.bias is None
    hidden = torch.randn(2, 3, 6)
    with torch.no_grad():
        classifier.weight.mul_(torch.tensor([[0.1], [1.0], [5.0], [30.0]]))
    logits = classifier(hidden)
    for symbol, vector in enumerate(classifier.weight):
        torch.testing.assert_close(logits[..., symbol], hidden @ (vector / vector.square().sum().sqrt()))
    torch.testing.assert_close(classifier(torch.eye(6)).square().sum(dim=0), torch.ones(4))


def test_plain_classifier_is_a_linear_layer():
    torch.manual_seed(0)
    classifier = GlossClassifier(6, 4, normalize=False)
    hidden = torch.randn(2, 3, 6)
    torch.testing.assert_close(classifier(hidden), hidden @ classifier.weight.T + classifier.bias)
