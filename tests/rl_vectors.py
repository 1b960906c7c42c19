"""The numbers of the authors of the RL search against ours: controller, PPO, REINFORCE, the end of poor candidates, running
means of weights, the decoder, the trainings of a candidate, and the mean that is its reward."""

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nasir.search import rl
from nasir.search.policy.controller import Controller, Decision, Draw
from nasir.search.policy.stopping import Stopping
from nasir.search.policy.updating import Baseline, Rules, Teacher
from nasir.training.averaging import Average
from tests.decoder_vectors import check_decoder
from tests.search.policy import training_vectors
from tests.vector_names import Named, rename
from tests.vector_report import Line, Report, deviation

EXACT = 1e-11
TRAINED = 1e-10

RULES: Sequence[tuple[str, Callable[..., str]]] = (
    (r"g_emb", lambda: "start"),
    (r"(rnn\..*)", lambda name: name),
    (r"linear_op\.(.*)", lambda name: f"heads.op.{name}"),
    (r"(conn|ctx)_fcs\.(\d+)\.(.*)", lambda kind, number, name: f"heads.{kind}_{number}.{name}"),
)
UNUSED = "enc_op.weight"
"""An embedding that no output depends on."""


def is_described(content: Any) -> bool:
    """Whether META is that of these files."""
    return isinstance(content, list) and any(
        isinstance(entry, dict) and entry.get("kind") in CHECKS for entry in content
    )


def check(arrays: Named, entry: Named) -> Report:
    """Check one file by its kind; an unknown one is refused with a ValueError."""
    if entry["kind"] not in CHECKS:
        raise ValueError(f"{entry.where} must have a kind of {list(CHECKS)}, got {entry['kind']!r}.")
    return Report(entry["kind"], NOTES.get(entry["kind"], ()), CHECKS[entry["kind"]](arrays, entry))


def controller(arrays: Named, entry: Named) -> Controller:
    """The file's controller, in float64."""
    heads, sizes = entry["heads"], entry["sizes"]
    operation = Decision("op", heads["linear_op"])
    decided = [*(Decision(f"conn_{k}", size) for k, size in enumerate(heads["conn_fcs"])), operation]
    for k in range(0, len(heads["ctx_fcs"]), 2):
        decided += [Decision(f"ctx_{n}", heads["ctx_fcs"][n]) for n in (k, k + 1)] + [operation] * 2
    ours = Controller(decided, sizes["hidden"], sizes["lstm"], sizes["enc"], is_autoregressive=False).double()
    ours.load_state_dict({name: torch.from_numpy(value).double() for name, value in _named(arrays, "sd/").items()})
    return ours


def _named(arrays: Named, prefix: str) -> dict[str, np.ndarray]:
    """What stands under a prefix, by our names."""
    return {
        rename(name.removeprefix(prefix), RULES): value
        for name, value in arrays.items()
        if name.startswith(prefix) and not name.endswith(UNUSED)
    }


def in_order(action: np.ndarray, entry: Named) -> tuple[int, ...]:
    """Their flat action in the order of sampling."""
    cell = 2 + 4 * (entry["sizes"]["layers"] - 1)
    return tuple(int(value) for value in (*action[cell:], *action[1:cell]))


def check_controller(arrays: Named, entry: Named) -> list[Line]:
    """Log-probabilities, entropies and their gradients."""
    ours = controller(arrays, entry)
    tokens = torch.from_numpy(arrays["tokens"])
    rows = torch.tensor([in_order(action, entry) for action in arrays["actions"]])
    steps = ours.steps(tokens)
    log_probs, entropies = ours(tokens)
    chosen = torch.stack([step.gather(1, tokens[:, [k]])[:, 0] for k, step in enumerate(steps)], dim=1)
    lines = [
        Line("tokens of the actions", float((rows != tokens).sum()), 0),
        Line(
            "parameters",
            abs(sum(p.numel() for p in ours.parameters()) + arrays[f"sd/{UNUSED}"].size - entry["parameters"]),
            0,
        ),
        Line("step_log_probs", deviation(chosen, arrays["step_log_probs"]), EXACT),
        Line("log_probs", deviation(log_probs, arrays["log_probs"]), EXACT),
        Line("entropies", deviation(entropies, arrays["entropies"]), EXACT),
    ]
    weights = torch.from_numpy(arrays["weights"]).double()
    for name, value in (("grad_log_prob", (weights * log_probs).sum()), ("grad_entropy", entropies.sum())):
        lines += _gradients(ours, value, _named(arrays, f"{name}/"), name)
    return lines


def _gradients(ours: Controller, value: Tensor, expected: dict[str, np.ndarray], what: str) -> list[Line]:
    parameters = dict(ours.named_parameters())
    found = torch.autograd.grad(value, [parameters[name] for name in expected], retain_graph=True)
    return [
        Line(f"{what}/{name}", deviation(gradient, expected[name]), EXACT)
        for name, gradient in zip(expected, found, strict=True)
    ]


def teacher(arrays: Named, entry: Named, **rules: Any) -> Teacher:
    """The file's controller and how it learns."""
    ours = controller(arrays, entry)
    optimiser = torch.optim.Adam(ours.parameters(), lr=entry.get("lr", 0.0))
    return Teacher(ours, optimiser, Baseline(entry["baseline_decay"]), Rules(norm=entry["max_grad_norm"], **rules))


def check_ppo_gradients(arrays: Named, entry: Named) -> list[Line]:
    """Baselines, losses, entropies, gradients and their norms, slot by slot."""
    ours = teacher(arrays, entry, clip=entry["clip"])
    rewards, empty = arrays["rewards"], entry["empty_slots"]
    baselines = [ours.baseline.add(float(reward)) for reward in rewards[: len(rewards) - empty]]
    lines = [Line("baselines", float(np.abs(np.array(baselines) - arrays["baselines"]).max()), EXACT)]
    expected = _named(arrays, "grad/")
    for row, action in enumerate(arrays["actions"]):
        slot = (in_order(action, entry), float(arrays["old_log_probs"][row]), float(rewards[row]))
        loss, entropy = ours.surrogate([slot], baselines[-1])
        value = loss.sum() - entry["entropy_coef"] * entropy.sum()
        lines += [
            Line(f"{row}/loss", abs(loss.item() - arrays["losses"][row]), EXACT),
            Line(f"{row}/entropy", abs(entropy.item() - arrays["entropies"][row]), EXACT),
        ]
        lines += _gradients(ours.controller, value, {name: grad[row] for name, grad in expected.items()}, f"{row}/grad")
    return lines


def check_ppo_run(arrays: Named, entry: Named) -> list[Line]:
    """Means and weights after each update, empty slots included as the authors have them."""
    ours = teacher(
        arrays, entry, clip=entry["clip"], slots=entry["slots"], passes=entry["ppo_epochs"],
        mini_batch=entry["mini_batch"], entropy=entry["entropy_coef"], skips_empty=False,
    )  # fmt: skip
    draws = [
        Draw(in_order(action, entry), float(old))
        for action, old in zip(arrays["actions"], arrays["old_log_probs"], strict=True)
    ]
    return _run(ours, draws, arrays, ("mean_losses", "mean_entropies"), arrays["orders"].tolist())


def check_reinforce_run(arrays: Named, entry: Named) -> list[Line]:
    """Losses and weights after each update."""
    ours = teacher(arrays, entry, estimator="reinforce")
    draws = [Draw(in_order(action, entry), 0.0) for action in arrays["actions"]]
    return _run(ours, draws, arrays, ("losses", "entropies"), [[]] * len(draws))


def _run(
    ours: Teacher, draws: Sequence[Draw], arrays: Named, means: tuple[str, str], orders: Sequence[Any]
) -> list[Line]:
    lines = []
    for number, (draw, reward, order) in enumerate(zip(draws, arrays["rewards"], orders, strict=True)):
        told = ours.update(draw, float(reward), iter(order))
        expected = {"loss": arrays[means[0]], "entropy": arrays[means[1]], "baseline": arrays["baselines"]}
        lines += [
            Line(f"{number}/{name}", abs(told[name] - values[number]), TRAINED) for name, values in expected.items()
        ]
        state = ours.controller.state_dict()
        lines += [
            Line(f"{number}/{name}", deviation(state[name], value), TRAINED)
            for name, value in _named(arrays, f"after_{number:02d}/").items()
        ]
    return lines


def check_stopping(arrays: Named, entry: Named) -> list[Line]:
    """Who goes on, and the average, the share and the counter behind each decision."""
    lines = []
    for case in entry["cases"]:
        ours = Stopping(decay=case["decay"], average=case["start"], delta=case["delta"], is_compat=True)
        of, draws = f"{case['case']}/", arrays[f"{case['case']}/draws"]
        gaps = {name: 0.0 for name in ("continue", "average", "delta", "counter")}
        for k, score in enumerate(arrays[f"{of}scores"]):
            goes_on = ours.goes_on(float(score), lambda most, k=k, draws=draws: float(draws[k]))  # type: ignore[misc]
            found = {"continue": goes_on, "average": ours.average, "delta": ours.delta, "counter": ours.counter}
            gaps = {
                name: max(gap, abs(float(found[name] or 0) - float(arrays[f"{of}{name}"][k])))
                for name, gap in gaps.items()
            }
        lines += [Line(f"{of}{name}", gap, EXACT) for name, gap in gaps.items()]
    return lines


def check_polyak(arrays: Named, entry: Named) -> list[Line]:
    """The running mean of the weights after each step; at the end of an epoch it takes their place."""
    network = torch.nn.Linear(1, len(arrays["start"]), bias=False).double()
    weights = network.weight.data[:, 0]
    weights.copy_(torch.from_numpy(arrays["start"]))
    mean, lines = Average(network, entry["polyak"], is_compat=True), []
    for step, (trained, expected) in enumerate(zip(arrays["trained"], arrays["average"], strict=True)):
        weights.copy_(torch.from_numpy(trained))
        mean.follow()
        found = mean.network.get_parameter("weight")[:, 0]
        lines.append(Line(f"{step}/average", deviation(found, expected), EXACT))
        if arrays["replaced"][step]:
            network.load_state_dict(mean.network.state_dict())
    return [*lines, Line("final", deviation(weights, arrays["final"]), EXACT)]


def check_reward(arrays: Named, entry: Named) -> list[Line]:
    """The geometric mean of three qualities of theirs: of two by ours, and with the third by hand, in each way."""
    free: Any = SimpleNamespace(problem=SimpleNamespace(of_strategy=SimpleNamespace(price=0.0)))
    lines = []
    for case in entry["cases"]:
        of = f"{case['case']}/"
        ious, accuracies, confusion = (arrays[f"{of}{name}"] for name in ("ious", "accuracies", "confusion"))
        kept = [one for one in range(case["classes"]) if one not in case["omitted"] and ious[one] != ABSENT]
        shares = confusion.sum(axis=1)[kept] / confusion.sum(axis=1)[kept].sum()
        qualities = {
            "mean IoU": ious[kept].mean(), "mean accuracy": accuracies[kept].mean(),
            "weighted IoU": (shares * ious[kept]).sum(),
        }  # fmt: skip
        for name, last in qualities.items():
            first, second = (value for other, value in qualities.items() if other != name)
            candidate = {"psnr_db": 20 + 10 * first, "ssim": second, "parameters": 0}
            ours = rl._Course.reward(free, candidate, 20.0, 30.0)
            found = (ours**2 * last) ** (1 / 3)
            lines.append(Line(f"{of}reward, {name} last", abs(found - float(arrays[f"{of}reward"])), EXACT))
    return lines


ABSENT = 2
"""Their IoU of a class that is neither in the picture nor in the output."""

NOTES = {
    "reward": (
        "not compared: logits, masks, confusion, ious and accuracies; our reward is of PSNR and SSIM, there are no classes",
        "not compared: a mean of three at once; ours is of two, which are any two of theirs here",
    ),
    **training_vectors.NOTES,
}
"""By kind, which part has nothing of ours beside it, and why."""

CHECKS: dict[str, Callable[[Named, Named], list[Line]]] = {
    "controller": check_controller,
    "ppo gradients": check_ppo_gradients,
    "ppo run": check_ppo_run,
    "reinforce run": check_reinforce_run,
    "early termination": check_stopping,
    "decoder": check_decoder,
    "polyak": check_polyak,
    "reward": check_reward,
    "stage 0": training_vectors.check_stage_0,
    "stage 1": training_vectors.check_stage_1,
}
