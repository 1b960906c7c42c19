"""Regularised evolution on a score that is known, against random candidates."""

import torch

from nasir.search.sampling.evolution import TRIES, evolve, select_random

LENGTH, CHOICES = 8, 4
BEST = (3, 1, 0, 2, 3, 3, 1, 2)


def value(tokens) -> float:
    """How many tokens are those of the best."""
    return float(sum(one == other for one, other in zip(tokens, BEST, strict=True)))


class Trial:
    """Draws and children from a seed, and what was scored."""

    def __init__(self, seed: int, choices: int = CHOICES, length: int = LENGTH) -> None:
        self.generator = torch.Generator().manual_seed(seed)
        self.choices, self.length = choices, length
        self.scored: list[tuple[int, ...]] = []
        self.parents: list[tuple[int, ...]] = []

    def number(self, below: int) -> int:
        return int(torch.randint(below, (1,), generator=self.generator))

    def draw(self):
        return tuple(self.number(self.choices) for _ in range(self.length))

    def mutate(self, parent):
        self.parents.append(parent)
        child, place = list(parent), self.number(self.length)
        child[place] = (child[place] + 1 + self.number(self.choices - 1)) % self.choices
        return tuple(child)

    def score(self, tokens) -> float:
        self.scored.append(tokens)
        return value(tokens)

    def evolve(self, **changes):
        given = {"candidates": 400, "population": 20, "tournament": 5} | changes
        generator = torch.Generator().manual_seed(0)
        evolve(changes.pop("score", self.score), self.draw, self.mutate, generator=generator, **given)
        return self.scored


def test_it_finds_the_best_where_as_many_random_candidates_do_not():
    evolved, drawn = [], []
    for seed in range(5):
        evolved.append(max(map(value, Trial(seed).evolve())))
        trial = Trial(seed)
        select_random(trial.score, trial.draw, 400)
        assert len(trial.scored) == 400
        drawn.append(max(map(value, trial.scored)))
    assert evolved == [LENGTH] * 5  # 400 of 65,536
    assert max(drawn) < LENGTH


def test_exactly_as_many_candidates_are_scored_and_none_twice():
    for candidates in (1, 4, 5, 6, 50):
        scored = Trial(1).evolve(candidates=candidates, population=5, tournament=2)
        assert len(scored) == len(set(scored)) == candidates


def test_the_first_population_is_drawn_and_all_others_are_children_of_living_ones():
    trial = Trial(2)
    first = Trial(2)
    scored = trial.evolve(candidates=30, population=6, tournament=3)
    assert scored[:6] == [first.draw() for _ in range(6)]
    assert len(trial.parents) >= 24
    for number in range(6, 30):
        nearest = [sum(a != b for a, b in zip(scored[number], other, strict=True)) for other in scored[:number]]
        assert min(nearest[number - 6 : number]) == 1  # of the six that lived when it was made


def test_the_oldest_dies_and_not_the_worst():
    # the best of all comes first and is the parent as long as it lives; the tournament takes in all that live
    trial = Trial(3)
    scores = iter([100.0, *(float(n) for n in range(50))])
    parents: list[tuple[int, ...]] = []

    def score(tokens):
        trial.scored.append(tokens)
        parents.append(trial.parents[-1] if trial.parents else ())
        return next(scores)

    evolve(
        score, trial.draw, trial.mutate, candidates=6, population=3, tournament=3,
        generator=torch.Generator().manual_seed(0),
    )  # fmt: skip
    first, *_, fourth, fifth, _ = trial.scored
    # with the fourth candidate the first dies; from then on the last one is the best of those that live
    assert parents[3:] == [first, fourth, fifth]


def test_the_parent_is_the_best_of_a_tournament_and_not_of_all():
    parents = set()
    for seed in range(12):
        trial = Trial(4)
        evolve(
            trial.score, trial.draw, trial.mutate, candidates=6, population=5, tournament=1,
            generator=torch.Generator().manual_seed(seed),
        )  # fmt: skip
        parents.add(trial.parents[-1])
    assert len(parents) > 2  # a tournament of one is chance


def test_a_known_candidate_is_scored_again_only_where_there_are_no_others():
    # four candidates in all: two tokens of two choices
    trial = Trial(5, choices=2, length=2)
    scored = []
    evolve(
        lambda tokens: scored.append(tokens) or 0.0, trial.draw, trial.mutate, candidates=6, population=4, tournament=4,
        generator=torch.Generator().manual_seed(0),
    )  # fmt: skip
    assert len(set(scored[:4])) == 4
    assert len(scored) == 6
    again = []
    select_random(lambda tokens: again.append(tokens) or 0.0, Trial(5, choices=2, length=2).draw, 5)
    assert len(set(again[:4])) == 4 and len(again) == 5


def test_it_gives_up_looking_for_an_unknown_one_after_so_many_draws():
    drawn = []
    select_random(lambda tokens: 0.0, lambda: drawn.append(0) or (0,), 3)
    assert len(drawn) == 1 + 2 * TRIES
