"""Configuration: typed, frozen, complete.

`params.yaml` says what a person changes (`Params`); `profiles/NAME.yaml` says how much of it is done, one section for each
step (`SearchConfig` and its siblings). No field has a default: the files are the record. A missing, unknown or mistyped
key is refused and named.
"""

import dataclasses
import math
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml

from nasir import task as tasks
from nasir.genotype import OPERATIONS

T = TypeVar("T")


def _require(is_met: bool, expected: str, got: object) -> None:
    if not is_met:
        raise ValueError(f"{expected}, got {got!r}.")


@dataclass(frozen=True, kw_only=True)
class Params:
    """`params.yaml`: what a person changes."""

    dataset: str
    task: str
    folder: str  # of dataset `folder`: a person's own images
    layout: str  # of dataset `folder`: how its files hold clean and degraded images
    sigma: float  # test noise, 8-bit grey levels; of the task denoise
    space: str
    seed: int
    profile: str

    def __post_init__(self) -> None:
        _require(self.task in tasks.TASKS, f"task must be one of {list(tasks.TASKS)}", self.task)
        _require(self.layout in LAYOUTS, f"layout must be one of {list(LAYOUTS)}", self.layout)
        _require(self.sigma > 0, "sigma must be above 0 (8-bit grey levels)", self.sigma)
        _require(self.space in OPERATIONS, f"space must be one of {list(OPERATIONS)}", self.space)
        _require(self.seed >= 0, "seed must be 0 or more", self.seed)

    @property
    def noise(self) -> float:
        """Noise that is added to the task's images, 8-bit grey levels: sigma, or 0 where images come in pairs."""
        return 0.0 if tasks.TASKS[self.task].is_paired else self.sigma


@dataclass(frozen=True, kw_only=True)
class DownloadConfig:
    """The `download:` section. It changes how patiently files are fetched, never which."""

    attempts: int  # tries of one URL
    timeout: float  # seconds without an answer before a try counts as failed

    def __post_init__(self) -> None:
        _require(self.attempts >= 1, "download.attempts must be 1 or more", self.attempts)
        _require(self.timeout > 0, "download.timeout must be above 0 seconds", self.timeout)


@dataclass(frozen=True, kw_only=True)
class PairConfig:
    """The `pair:` section: how many patches the task camera makes of the images."""

    train_candidates: int  # of which train_kept are drawn among those that the rule of selection accepts
    train_kept: int
    test_candidates: int
    test_kept: int
    factor: int  # images are blurred and subsampled by this first, which removes noise of their own
    side: int  # of a patch, pixels

    def __post_init__(self) -> None:
        for part in ("train", "test"):
            kept, candidates = getattr(self, f"{part}_kept"), getattr(self, f"{part}_candidates")
            _require(
                1 <= kept <= candidates, f"pair.{part}_kept must be 1 to pair.{part}_candidates ({candidates})", kept
            )
        _require(self.factor >= 1, "pair.factor must be 1 or more", self.factor)
        _require(self.side >= 16, "pair.side must be 16 or more", self.side)


@dataclass(frozen=True, kw_only=True)
class SynthesizeConfig:
    """The `synthesize:` section."""

    previews: int  # test images drawn as clean | noisy

    def __post_init__(self) -> None:
        _require(self.previews >= 0, "synthesize.previews must be 0 or more", self.previews)


@dataclass(frozen=True, kw_only=True)
class SplitConfig:
    """The `split:` section: shares of the training images."""

    w: float  # weights
    a: float  # architecture
    v: float  # validation; at least one image
    exclude_leaks: (
        bool  # leave out training pictures that show what a test picture shows, here or in BSDS500's test part
    )

    def __post_init__(self) -> None:
        _require(min(self.w, self.a, self.v) > 0, "split.w, split.a and split.v must be above 0", self)
        _require(math.isclose(self.w + self.a + self.v, 1), "split.w + split.a + split.v must be 1", self)


@dataclass(frozen=True, kw_only=True)
class AuditConfig:
    """The `audit:` section."""

    planted: int  # leaks of each kind that are planted to see how many are found

    def __post_init__(self) -> None:
        _require(self.planted >= 1, "audit.planted must be 1 or more", self.planted)


LAYOUTS = ("clean", "clean_left", "clean_right", "two_folders")
"""What `layout` may be: files of one clean image, of two side by side, or two folders of files with the same names."""

MODIFICATIONS = ("none", "r1", "r2")
"""What `derive.modify` may be."""

STRATEGIES = ("darts", "random")
"""What `search.strategy` may be."""

CHOICES = {
    "beta_norm": ("incoming", "outgoing"),
    "activation": ("relu", "leaky_relu"),
    "complexity_of": ("parameters", "flops"),
    "early_stop": ("none", "skip_count", "rank_stable", "val_plateau"),
    "twin": ("fast", "plain"),
    "recompute": ("none", "edge", "cell"),
}
"""What other keys of the `search:` section may be."""

PRECISIONS = ("32-true", "bf16-mixed")
"""What `precision` may be: float32, or bfloat16 in convolutions with float32 weights and statistics."""


@dataclass(frozen=True, kw_only=True)
class SearchConfig:
    """The `search:` section: the supernet and its optimisation (IR-NAS, sections 3 and 4.1), or a control without one."""

    strategy: str  # darts; random: trained random candidates that together cost what darts would
    random_candidates: int  # of the random strategy
    random_budget: float  # of the random strategy: its share of the operations that the differentiable search takes
    layers: int  # L, cells one after the other
    nodes: int  # N, nodes in a cell
    width: int  # W, channels of the narrowest cell
    width_factors: tuple[float, ...]  # what a cell may choose, ascending
    stem_channels: int
    residual: bool  # the network predicts what to subtract from its input; the paper has none
    share_cells: bool  # one cell for all incoming width paths (equation 5), or one for each (equation 6)
    share_alpha: bool  # one alpha for all layers (the paper), or one for each
    beta_norm: str  # incoming: over the cells that feed a cell (equation 5); outgoing: over a cell's own steps
    activation: str  # before every operation: relu, or leaky_relu of slope 0.2
    sigmoid: bool  # on the supernet's output
    partial: int  # 1 / partial of a cell's channels pass through the operations (PC-DARTS); 1 = all
    twin: str  # fast or plain: the same numbers, the plain one several times slower
    recompute: str  # what is computed again in the backward pass to save memory: none, edge (an edge's inside), cell
    compile: bool  # torch.compile on each cell of the plain twin; minutes of compiling
    accumulate: int  # parts that a batch is worked off in, one after the other
    devices: int  # processes, one on each GPU, or on one machine's CPU
    parallel: str  # Fabric's strategy: auto, ddp
    precision: str
    sigmas: tuple[float, ...]  # noise levels, one drawn per patch
    steps: int  # updates of the weights
    warmup_steps: int  # of which without an update of the architecture
    batch: int
    patch: int  # side of a training patch, pixels
    lr_max: float  # SGD on the weights, cosine from here
    lr_min: float  # to here
    momentum: float
    weight_decay: float
    clip_norm: float  # gradient norm of the weights is clipped to this
    architecture_lr: float  # Adam on alpha and beta
    architecture_weight_decay: float
    order: int  # of the architecture's gradient: 1, or 2 (through one step of the weights)
    complexity: float  # weight of the expected size in the architecture's loss; 0 = none
    complexity_of: str  # parameters or flops
    early_stop: str  # none, skip_count, rank_stable, val_plateau
    patience: int  # scores on V that rank_stable and val_plateau wait
    ssim_weight: float  # lambda of equation 7; 0 = MSE only
    val_period: int  # steps between scores on V
    val_crop: int  # V is scored on the middle of its images, at most this side; 0 = whole images
    keep_from: int  # the best supernet is chosen among scores from this step on
    log_period: int
    checkpoint_period: int
    device: str  # auto, cpu, cuda

    def __post_init__(self) -> None:
        _require_training(self, "search")
        _require(self.strategy in STRATEGIES, f"search.strategy must be one of {list(STRATEGIES)}", self.strategy)
        _require(self.random_budget > 0, "search.random_budget must be above 0", self.random_budget)
        for name in (
            "random_candidates",
            "layers",
            "nodes",
            "width",
            "stem_channels",
            "partial",
            "patience",
            "accumulate",
        ):
            _require(getattr(self, name) >= 1, f"search.{name} must be 1 or more", getattr(self, name))
        for name, choices in CHOICES.items():
            _require(
                getattr(self, name) in choices, f"search.{name} must be one of {list(choices)}", getattr(self, name)
            )
        _require(self.order in (1, 2), "search.order must be 1 or 2", self.order)
        _require(self.complexity >= 0, "search.complexity must be 0 or more", self.complexity)
        _require(
            self.twin == "plain" or not self.compile,
            "search.compile must be false with search.twin fast, whose passes are fused already (it is for the plain twin)",
            self.compile,
        )
        _require(
            self.recompute == "none" or self.twin == "fast",
            "search.recompute must be none with search.twin plain",
            self.recompute,
        )
        _require(
            self.batch % (self.accumulate * self.devices) == 0,
            f"search.batch must be a multiple of accumulate times devices ({self.accumulate} * {self.devices})",
            self.batch,
        )
        factors = self.width_factors
        _require(
            len(factors) > 0 and factors[0] > 0 and list(factors) == sorted(set(factors)),
            "search.width_factors must be positive and ascending",
            factors,
        )
        _require(
            all(float(self.width * f).is_integer() for f in factors),
            f"search.width times each of search.width_factors {list(factors)} must be whole channels",
            self.width,
        )
        _require(
            all(int(self.width * f) % self.partial == 0 for f in factors),
            f"search.width times each of search.width_factors {list(factors)} must be a multiple of search.partial",
            self.partial,
        )
        _require(self.val_crop >= 0, "search.val_crop must be 0 or more", self.val_crop)
        _require(len(self.sigmas) > 0 and min(self.sigmas) >= 0, "search.sigmas must be 0 or more", self.sigmas)
        _require(
            0 <= self.warmup_steps < self.steps, "search.warmup_steps must lie in 0 to steps - 1", self.warmup_steps
        )
        _require(
            self.warmup_steps <= self.keep_from <= self.steps,
            "search.keep_from must lie between warmup_steps (before it the architecture has not moved) and steps",
            self.keep_from,
        )


@dataclass(frozen=True, kw_only=True)
class DeriveConfig:
    """The `derive:` section."""

    inputs: int  # edges kept into each node; the paper keeps two
    modify: str  # none; r1 or r2: the modified networks of the paper's Table 4
    modify_seed: int  # of r2, which draws other connections

    def __post_init__(self) -> None:
        _require(self.modify in MODIFICATIONS, f"derive.modify must be one of {list(MODIFICATIONS)}", self.modify)
        _require(self.modify_seed >= 0, "derive.modify_seed must be 0 or more", self.modify_seed)
        _require(self.inputs in (1, 2), "derive.inputs must be 1 or 2 (a first node has two inputs)", self.inputs)


@dataclass(frozen=True, kw_only=True)
class RetrainConfig:
    """The `retrain:` section: the derived network and its training from scratch (IR-NAS, section 4.1)."""

    width: int  # channels of a cell of the lowest level
    stem_channels: int
    aspp_channels: int  # of each branch of the ASPP module; 0 = no ASPP
    aspp_rates: tuple[int, ...]
    steps: int
    batch: int
    patch: int
    lr_max: float  # Adam, cosine from here
    lr_min: float  # to here
    clip_norm: float
    ssim_weight: float
    val_period: int
    val_crop: int  # as search.val_crop
    log_period: int
    checkpoint_period: int
    compile: bool  # torch.compile on the network
    devices: int  # processes, as for the search
    parallel: str
    precision: str
    device: str

    def __post_init__(self) -> None:
        _require_training(self, "retrain")
        for name in ("width", "stem_channels"):
            _require(getattr(self, name) >= 1, f"retrain.{name} must be 1 or more", getattr(self, name))
        _require(self.val_crop >= 0, "retrain.val_crop must be 0 or more", self.val_crop)
        _require(self.aspp_channels >= 0, "retrain.aspp_channels must be 0 or more", self.aspp_channels)
        _require(all(r >= 1 for r in self.aspp_rates), "retrain.aspp_rates must be 1 or more", self.aspp_rates)


def _require_training(config: SearchConfig | RetrainConfig, section: str) -> None:
    for name in ("steps", "batch", "patch", "val_period", "log_period", "checkpoint_period", "devices"):
        _require(getattr(config, name) >= 1, f"{section}.{name} must be 1 or more", getattr(config, name))
    _require(
        0 <= config.lr_min <= config.lr_max and config.lr_max > 0,
        f"{section}.lr_max must be above 0 and not below lr_min ({config.lr_min})",
        config.lr_max,
    )
    _require(config.batch % config.devices == 0, f"{section}.batch must be a multiple of devices", config.batch)
    _require(config.precision in PRECISIONS, f"{section}.precision must be one of {PRECISIONS}", config.precision)
    _require(config.clip_norm > 0, f"{section}.clip_norm must be above 0", config.clip_norm)
    _require(config.ssim_weight >= 0, f"{section}.ssim_weight must be 0 or more", config.ssim_weight)
    _require(config.device in ("auto", "cpu", "cuda"), f"{section}.device must be auto, cpu or cuda", config.device)


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig:
    """The `evaluate:` section."""

    protocols: tuple[str, ...]
    batch: int  # patches at once
    tv_factors: tuple[float, ...]  # candidates of total variation: weight in units of sigma / 255, chosen on V
    nlm_factors: tuple[float, ...]  # candidates of non-local means: h in units of sigma / 255, chosen on V
    device: str

    def __post_init__(self) -> None:
        _require(len(self.protocols) > 0, "evaluate.protocols must name at least one protocol", self.protocols)
        _require(self.batch >= 1, "evaluate.batch must be 1 or more", self.batch)
        for name in ("tv_factors", "nlm_factors"):
            values = getattr(self, name)
            _require(len(values) > 0 and min(values) > 0, f"evaluate.{name} must be above 0", values)
        _require(self.device in ("auto", "cpu", "cuda"), "evaluate.device must be auto, cpu or cuda", self.device)


@dataclass(frozen=True, kw_only=True)
class TrialConfig:
    """One entry of `trials:`: a found network, changed or of another task or with another loss, at one noise level."""

    task: str  # that it is trained for
    method: str  # whose rows it fills
    draw: int  # of several of one method, which are averaged; of r2 also the seed
    search: str  # the task whose search found it
    modify: str  # as derive.modify
    options: str  # for retrain, as on a command line
    protocols: str  # that it is scored under, as `score --protocols` takes them

    def __post_init__(self) -> None:
        _require(self.modify in MODIFICATIONS, f"modify must be one of {list(MODIFICATIONS)}", self.modify)
        _require(self.draw >= 0, "draw must be 0 or more", self.draw)


@dataclass(frozen=True, kw_only=True)
class TablesConfig:
    """`tables/params.yaml`: which cells of the paper's tables are run. Studies are profiles, each with a data set a task."""

    profile: str  # the study that is run and shown; stands in study.yaml
    sigmas: tuple[float, ...]
    seeds: tuple[int, ...]
    all: tuple[str, ...]  # studies
    classical: tuple[str, ...]  # methods of every study, beside irnas and bm3d
    controls: tuple[str, ...]  # trained methods that compare the found network with something
    with_controls: tuple[str, ...]  # studies that run them
    baselines: tuple[str, ...]  # hand-designed networks
    with_baselines: tuple[str, ...]
    matrix_sigma: float  # noise level of the protocol matrix
    tasks: tuple[str, ...]
    paired: tuple[str, ...]  # tasks of pairs
    searched: tuple[str, ...]  # tasks with a search of their own
    with_trials: tuple[str, ...]  # studies that run what follows
    derain_baselines: tuple[str, ...]  # hand-designed de-raining networks
    derain_slow: tuple[str, ...]  # further ones, of the studies with_baselines
    trial_sigma: float  # noise level of the trials of the task denoise
    trials: tuple[TrialConfig, ...]

    def __post_init__(self) -> None:
        _require(self.profile in self.all, f"profile must be one of {list(self.all)}", self.profile)
        _require(len(self.seeds) > 0 and min(self.seeds) >= 0, "seeds must be 0 or more", self.seeds)
        _require(len(self.sigmas) > 0 and min(self.sigmas) > 0, "sigmas must be above 0", self.sigmas)
        _require(
            self.matrix_sigma in self.sigmas, f"matrix_sigma must be one of {list(self.sigmas)}", self.matrix_sigma
        )
        _require(self.trial_sigma in self.sigmas, f"trial_sigma must be one of {list(self.sigmas)}", self.trial_sigma)
        for name, known in (
            ("with_controls", self.all),
            ("with_baselines", self.all),
            ("with_trials", self.all),
            ("tasks", tuple(tasks.TASKS)),
            ("paired", tuple(name for name in self.tasks if tasks.find(name).is_paired)),
            ("searched", self.tasks),
        ):
            unknown = set(getattr(self, name)) - set(known)
            _require(not unknown, f"{name} must be some of {list(known)}", sorted(unknown))
        cells = [(trial.task, trial.method, trial.draw) for trial in self.trials]
        doubled = sorted({cell for cell in cells if cells.count(cell) > 1})
        _require(not doubled, "trials must differ in task, method or draw", doubled)
        for trial in self.trials:
            _require(trial.task in self.tasks, f"a trial's task must be one of {list(self.tasks)}", trial.task)
            _require(
                trial.search in self.searched, f"a trial's search must be one of {list(self.searched)}", trial.search
            )

    @property
    def study(self) -> dict[str, Any]:
        """The chosen study as `study.yaml` holds it: its profile, and for each list of studies itself where it is in it.

        DVC's matrices run over these lists, so that DVC knows the stages of one study alone.
        """
        lists = ("all", "with_controls", "with_baselines", "with_trials")
        return {"profile": self.profile} | {
            name: [self.profile] if self.profile in getattr(self, name) else [] for name in lists
        }


SECTIONS: dict[str, type] = {
    "download": DownloadConfig,
    "pair": PairConfig,
    "synthesize": SynthesizeConfig,
    "split": SplitConfig,
    "audit": AuditConfig,
    "search": SearchConfig,
    "derive": DeriveConfig,
    "retrain": RetrainConfig,
    "evaluate": EvaluateConfig,
}
"""The sections of a profile, by step."""


def load_params(path: Path, changes: Mapping[str, Any] | None = None) -> Params:
    """Read `params.yaml`; `changes` replace values, as `read_changes` gives them."""
    return _build(_read(path) | {k: v for k, v in (changes or {}).items() if "." not in k}, Params, str(path))


def load(path: Path, section: str, cls: type[T], changes: Mapping[str, Any] | None = None, task: str = "denoise") -> T:
    """Read one section of a profile, as it is for a task: what stands under `tasks:` replaces keys of the section.

    Args:
        path: profiles/NAME.yaml.
        section: the step.
        cls: its config class.
        changes: values to replace by "section.key", as `read_changes` gives them; other sections' are left alone.
        task: its name.

    Raises:
        ValueError: for a missing file, section or key, an unknown key, or a value of another type; each is named.
    """
    profile = _read(path)
    unknown = sorted(set(profile) - set(SECTIONS) - {"tasks"})
    if unknown:
        raise ValueError(
            f"{path} may have the sections {[*SECTIONS, 'tasks']}, got the unknown {unknown}; remove them."
        )
    if section not in profile:
        raise ValueError(f"{path} must have a section {section!r}, got {sorted(profile)}; add it.")
    of_task = _of_task(profile, path, task).get(section) or {}
    changed = {k.partition(".")[2]: v for k, v in (changes or {}).items() if k.startswith(f"{section}.")}
    values = profile[section]
    return _build(values | of_task | changed if of_task or changed else values, cls, f"{path}: {section}")


def _of_task(profile: Mapping[str, Any], path: Path, task: str) -> Mapping[str, Any]:
    """What a profile's `tasks:` says of a task: section -> keys to replace."""
    by_task = profile.get("tasks")
    if not isinstance(by_task, dict) or set(by_task) != set(tasks.TASKS):
        raise ValueError(f"{path} must have a section 'tasks' with the keys {list(tasks.TASKS)}, got {by_task!r}.")
    for name, sections in by_task.items():
        if not isinstance(sections, dict) or not set(sections) <= set(SECTIONS):
            raise ValueError(
                f"{path}: tasks.{name} must hold some of the sections {list(SECTIONS)}, got {sections!r}; correct it."
            )
    found: Mapping[str, Any] = by_task[task]
    return found


def load_tables(path: Path, profile: str | None = None) -> TablesConfig:
    """Read `tables/params.yaml`, and which study is chosen from `study.yaml` beside it, or choose `profile`."""
    chosen = path.with_name("study.yaml")
    found = {} if profile else _read(chosen).get("study")
    name = profile or (found.get("profile") if isinstance(found, dict) else None)
    plan = _read(path)
    _require("profile" not in plan, f"{path} must leave the profile to {chosen.name}", plan.get("profile"))
    config = _build(plan | {"profile": name}, TablesConfig, f"{path} with {chosen.name}")
    if not profile and found != config.study:
        raise ValueError(
            f"{chosen} must hold what {path} says of the study {name}: {config.study}, got {found}; "
            f"run make tables PROFILE={name}."
        )
    return config


def read_changes(texts: Sequence[str]) -> dict[str, Any]:
    """What `--set sigma=30 --set search.strategy=random` asks for: keys of `params.yaml` or "section.key", and values.

    Raises:
        ValueError: for text that is no KEY=VALUE, or a key that neither `params.yaml` nor a profile has.
    """
    known = [*typing.get_type_hints(Params)]
    known += [f"{section}.{key}" for section, cls in SECTIONS.items() for key in typing.get_type_hints(cls)]
    changes = {}
    for text in texts:
        key, separator, value = text.partition("=")
        if not separator or key not in known:
            raise ValueError(
                f"--set takes KEY=VALUE with a key of params.yaml or SECTION.KEY of a profile, got {text!r}; "
                f"keys are {', '.join(known)}."
            )
        changes[key] = yaml.safe_load(value)
    return changes


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        near = sorted(p.stem for p in path.parent.glob("*.yaml")) if path.parent.is_dir() else []
        raise ValueError(f"expected a configuration file at {path}, got nothing there; files beside it: {near}.")
    try:
        value = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise ValueError(f"{path} must be YAML, got {error}.") from error
    if not isinstance(value, dict):
        raise ValueError(f"{path} must hold a mapping, got {type(value).__name__}.")
    return value


def _build(value: object, cls: type[T], where: str) -> T:
    if not isinstance(value, Mapping):
        raise ValueError(f"{where} must be a mapping of keys to values, got {value!r}.")
    hints = typing.get_type_hints(cls)
    missing = [name for name in hints if name not in value]
    unknown = [name for name in value if name not in hints]
    if missing or unknown:
        parts = [f"missing {missing}"] * bool(missing) + [f"unknown {unknown}"] * bool(unknown)
        raise ValueError(f"{where} must have exactly the keys {list(hints)}; {' and '.join(parts)}.")
    try:
        return cls(**{name: _convert(value[name], hint, name) for name, hint in hints.items()})
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error


def _convert(value: object, hint: Any, name: str) -> Any:
    if isinstance(hint, types.GenericAlias):
        (item, *_) = typing.get_args(hint)
        if not isinstance(value, list):
            raise ValueError(f"{name} must be a list of {item.__name__}, got {value!r}.")
        return tuple(_convert(v, item, f"{name}[{i}]") for i, v in enumerate(value))
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if dataclasses.is_dataclass(hint):
        return _build(value, typing.cast(type, hint), name)
    if hint is float and is_number and math.isfinite(typing.cast(float, value)):
        return float(typing.cast(float, value))
    if hint is int and is_number and isinstance(value, int):
        return value
    if hint in (bool, str) and isinstance(value, hint):
        return value
    note = " (YAML reads 1e-3 as text; write 0.001 or 1.0e-3)" if hint is float and isinstance(value, str) else ""
    raise ValueError(f"{name} must be a {hint.__name__}, got {value!r}{note}.")


def flat(config: Any, prefix: str = "") -> dict[str, Any]:
    """A config's fields as a plain mapping, `prefix` before each name; tuples become lists."""
    return {
        prefix + name: list(value) if isinstance(value, tuple) else value
        for name, value in dataclasses.asdict(config).items()
    }
