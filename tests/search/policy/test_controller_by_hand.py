"""The controller is an LSTM written out by hand, step by step: what it says of sequences, and what it draws."""

import itertools

import pytest
import torch

from nasir.search.policy.controller import Controller, Decision
from tests.search.policy import by_hand

DECIDED = [Decision("a", 2), Decision("b", 3), Decision("a", 2), Decision("b", 3)]
ALL = list(itertools.product(range(2), range(3), range(2), range(3)))
SHAPES = [
    {"layers": 1, "silent": 0, "is_autoregressive": True},
    {"layers": 2, "silent": 2, "is_autoregressive": True},
    {"layers": 1, "silent": 3, "is_autoregressive": False},
    {"layers": 2, "silent": 0, "is_autoregressive": False},
]


def controller(**shape):
    torch.manual_seed(0)
    return Controller(DECIDED, hidden=3, scale=1.5, **shape).double()


def allowed(chosen):
    """The second decision never takes what the first took, and the last is none where the third was 1."""
    rows = {1: [k != chosen[0] for k in range(3)] if len(chosen) == 1 else [], 3: [True, chosen[-1:] != [1], False]}
    return rows.get(len(chosen), [True] * DECIDED[len(chosen)].choices)


def mask_of(tokens):
    return [allowed(list(tokens[:k])) for k in range(len(tokens))]


def is_possible(tokens):
    return all(row[token] for row, token in zip(mask_of(tokens), tokens, strict=True))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("is_masked", [False, True])
def test_log_probabilities_and_entropies_are_those_of_an_lstm_by_hand(shape, is_masked):
    ours = controller(**shape)
    sequences = [tokens for tokens in ALL if is_possible(tokens) or not is_masked]
    masks = [torch.tensor([mask_of(tokens)[k] for tokens in sequences]) for k in range(4)] if is_masked else None
    log_probs, entropies = ours(torch.tensor(sequences), masks)
    weights = by_hand.weights_of(ours)
    with torch.no_grad():
        expected = [
            by_hand.evaluate(weights, ours, tokens, mask_of(tokens) if is_masked else None) for tokens in sequences
        ]
    assert log_probs.tolist() == pytest.approx([one.item() for one, _ in expected], rel=1e-12)
    assert entropies.tolist() == pytest.approx([one.item() for _, one in expected], rel=1e-12)
    assert log_probs.exp().sum().item() == pytest.approx(1)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("is_masked", [False, True])
def test_their_slopes_are_those_of_the_lstm_by_hand(shape, is_masked):
    ours, tokens = controller(**shape), (0, 2, 1, 0)
    mask = mask_of(tokens) if is_masked else None
    log_probs, entropies = ours(torch.tensor([tokens]), None if mask is None else [torch.tensor([row]) for row in mask])
    (2 * log_probs + 3 * entropies).sum().backward()
    weights = by_hand.weights_of(ours)
    log_prob, entropy = by_hand.evaluate(weights, ours, tokens, mask)
    slopes = torch.autograd.grad(2 * log_prob + 3 * entropy, list(weights.values()))
    for (name, parameter), slope in zip(ours.named_parameters(), slopes, strict=True):
        torch.testing.assert_close(parameter.grad, slope, rtol=1e-9, atol=1e-12, msg=name)


@pytest.mark.parametrize("shape", SHAPES)
def test_draws_are_those_of_the_probabilities_by_hand_from_the_same_generator(shape):
    ours, weights = controller(**shape), by_hand.weights_of(controller(**shape))
    one, other = (torch.Generator().manual_seed(3) for _ in range(2))
    for _ in range(10):
        draw = ours.sample(allowed, one)
        chosen: list[int] = []
        with torch.no_grad():
            for k in range(4):
                so_far = (chosen + [0] * 4)[:4]
                shares = by_hand.probabilities(weights, ours, so_far, mask_of(so_far))[k]
                chosen.append(int(torch.multinomial(torch.stack(shares), 1, generator=other)))
            log_prob, _ = by_hand.evaluate(weights, ours, chosen, mask_of(chosen))
        assert draw.tokens == tuple(chosen)
        assert draw.log_prob == pytest.approx(log_prob.item(), rel=1e-12)
