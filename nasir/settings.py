"""A run's settings: `params.yaml`, the profile it names and what space and strategy bring along, resolved into one mapping.

    params     params.yaml
    download, pair, synthesize, split, audit, search, derive, retrain, evaluate     a section for each step
    safety     what is done against the loss of a training
    tone       whether the tone of degraded pictures is estimated and taken back, for the network that is trained
    space      of the chosen search space: what it holds
    network    of the chosen search space: sizes of what is retrained
    strategy   of the chosen search strategy
    code       for each step a digest of the code that its result can depend on (`nasir.code`)

A profile is a difference to `base.yaml` beside it, or to the profile that its key `from:` names. What stands under `spaces:`,
which may be missing, replaces keys for one space, and under `tasks:` keys for one task, over those of the space. `space:`,
`network:` and `strategy:` of a profile hold a section for each space and strategy; one that stands in no profile brings its own
(`presets`). The resolved mapping is what stages read and DVC sees.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property, reduce
from pathlib import Path
from typing import Any, TypeVar

from nasir import task as tasks
from nasir.config import plain_yaml, reading
from nasir.config.audit import AuditConfig
from nasir.config.derive import DeriveConfig
from nasir.config.download import DownloadConfig
from nasir.config.evaluate import EvaluateConfig
from nasir.config.pair import PairConfig
from nasir.config.params import Params
from nasir.config.retrain import RetrainConfig, ToneConfig
from nasir.config.search import SearchConfig
from nasir.config.split import SplitConfig
from nasir.config.synthesize import SynthesizeConfig
from nasir.config.training import SafetyConfig
from nasir.messages import shown
from nasir.search import contract as strategies
from nasir.spaces import contract as spaces

T = TypeVar("T")

STEPS: dict[str, type] = {
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
"""The section of each step."""

SECTIONS: dict[str, type] = {**STEPS, "safety": SafetyConfig, "tone": ToneConfig}
"""Those, the one that several steps read, and one that only some tasks make use of."""

CHOSEN = ("space", "network", "strategy")
"""Sections of a profile that hold one section for each space or strategy."""

FIXED = ("params", "code", "cell")
"""Parts of the settings that no SECTION.KEY names."""

BASE = "base"
"""The profile that the others differ from."""


class Settings:
    """Resolved settings as config classes, each section checked when it is asked for.

    Args:
        values: as `resolve` gives them.
        where: what to call them in messages.
    """

    def __init__(self, values: Mapping[str, Any], where: str) -> None:
        self.values, self.where = values, where

    @cached_property
    def params(self) -> Params:
        """What a person chose."""
        return reading.build(self.values.get("params"), Params, f"{self.where}: params")

    @property
    def space(self) -> spaces.Space:
        """The chosen search space."""
        return spaces.find(self.params.space)

    @property
    def strategy(self) -> strategies.Strategy:
        """The chosen search strategy."""
        return strategies.find(self.search.strategy)

    @cached_property
    def search(self) -> SearchConfig:
        """The search's section."""
        return self.section("search", SearchConfig)

    @cached_property
    def of_space(self) -> Any:
        """The chosen space's section, of its class `Section`."""
        return self.section("space", self.space.Section)

    @cached_property
    def of_network(self) -> Any:
        """The sizes of what is retrained, of the chosen space's class `Sizes`."""
        return self.section("network", self.space.Sizes)

    @cached_property
    def of_strategy(self) -> Any:
        """The chosen strategy's section, of its class `Section`; what it asks of the search's is checked."""
        section: Any = self.section("strategy", self.strategy.Section)
        self.strategy.check(section, self.search)
        return section

    def of_class(self, cls: type[T]) -> T:
        """A section, by its config class."""
        return self.section(next(name for name, section in SECTIONS.items() if section is cls), cls)

    def section(self, name: str, cls: type[T]) -> T:
        """A section as its config class.

        Raises:
            ValueError: for a missing section or key, an unknown key, or a value of another type; each is named.
        """
        if name not in self.values:
            raise ValueError(f"{self.where} must have a section {name!r}, got {sorted(self.values, key=str)}; add it.")
        return reading.build(self.values[name], cls, f"{self.where}: {name}")


def read(path: Path, changes: Sequence[str] = ()) -> Settings:
    """Read a settings file; `changes` are KEY=VALUE or SECTION.KEY=VALUE in place of what it says.

    Raises:
        ValueError: for text that is no such pair, a key that the file does not have, or a value that is no YAML.
    """
    values = reading.read(path)
    if not isinstance(values.get("params"), dict):
        keys = sorted(values, key=str)
        raise ValueError(f"{path} must be what `python -m stages settings` wrote, got the keys {keys}.")
    return change(values, changes, str(path))


def change(values: Mapping[str, Any], changes: Sequence[str], where: str) -> Settings:
    """Resolved settings with some replaced; see `read`."""
    values = dict(values)
    for text in changes:
        key, separator, value = text.partition("=")
        section, _, name = key.rpartition(".")
        found = values.get(section or "params")
        if not separator or not isinstance(found, dict) or name not in found or section in FIXED:
            known = [*values["params"]]
            known += [
                f"{part}.{k}"
                for part, keys in values.items()
                if part not in FIXED and isinstance(keys, dict)
                for k in keys
            ]
            raise ValueError(
                f"--set takes KEY=VALUE with a key of params.yaml or SECTION.KEY of the settings, got "
                f"{shown(text)}; keys are {', '.join(map(str, known))}."
            )
        try:
            values[section or "params"] = found | {name: plain_yaml.load(value)}
        except ValueError as error:
            raise ValueError(f"the value of --set {shown(text)} {error}.") from error
    return Settings(values, where)


def resolve(params: Mapping[str, Any], profiles: Path, strategy: str | None = None) -> dict[str, Any]:
    """All settings of a run but the code's digests.

    Args:
        params: what params.yaml holds.
        profiles: folder of base.yaml and of the profiles.
        strategy: in place of the profile's.

    Raises:
        ValueError: for a profile, space or strategy that does not exist, or a section that is unknown; it is named.
    """
    chosen = reading.build(params, Params, "params.yaml")
    space = spaces.find(chosen.space)
    own = profiles / f"{chosen.profile}.yaml"
    merged = _merged(own, profiles)
    by_task, by_space = merged.pop("tasks", None), merged.pop("spaces", {})
    if not isinstance(by_task, dict) or set(by_task) != set(tasks.TASKS):
        raise ValueError(f"{own} must have a section 'tasks' with the keys {list(tasks.TASKS)}, got {shown(by_task)}.")
    if not isinstance(by_space, dict):
        raise ValueError(f"{own}: spaces must hold sections for each space, got {shown(by_space)}; correct it.")
    for name in by_space:
        spaces.find(name)
    merged = merge(merged, _sections(by_space.get(chosen.space, {}), own, f"spaces.{chosen.space}"))
    merged = merge(merged, _sections(by_task[chosen.task], own, f"tasks.{chosen.task}"))
    if strategy is not None:
        merged = merge(merged, {"search": {"strategy": strategy}})
    search = merged.get("search")
    reading.require(isinstance(search, dict), f"{own}: search must be a mapping of keys to values", search)
    by = strategies.find(merged["search"].get("strategy"))
    merged["space"] = _section(merged, "space", space.settings, space.presets, chosen.profile)
    merged["network"] = _section(merged, "network", space.settings, space.presets, chosen.profile)
    merged["strategy"] = _section(merged, "strategy", by.name, by.presets, chosen.profile)
    values = {"params": dict(params)} | {name: merged[name] for name in (*SECTIONS, *CHOSEN) if name in merged}
    _check(Settings(values, str(own)))
    return values


def merge(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with the keys of `changes`, mapping by mapping; any other value, lists too, replaces the one before."""
    merged = dict(base)
    for key, value in changes.items():
        before = merged.get(key)
        merged[key] = merge(before, value) if isinstance(before, dict) and isinstance(value, dict) else value
    return merged


def _merged(path: Path, profiles: Path) -> dict[str, Any]:
    """A profile with all that it differs from."""
    chain, name = [_profile(path)], path.stem
    seen = [name]
    while name != BASE:
        name = chain[0].pop("from", BASE)
        reading.require(
            isinstance(name, str) and name not in seen,
            f"{path}: from must name a profile that this one differs from, other than {', '.join(seen)}",
            name,
        )
        seen.append(name)
        chain.insert(0, _profile(profiles / f"{name}.yaml"))
    return reduce(merge, chain, {})


def _profile(path: Path) -> dict[str, Any]:
    values = reading.read(path)
    known = [*SECTIONS, *CHOSEN, "tasks", "spaces", "from"]
    if unknown := sorted(set(values) - set(known), key=str):
        raise ValueError(f"{path} may have the sections {known}, got the unknown {unknown}; remove them.")
    for name in CHOSEN:
        sections = values.get(name)
        for key in sections if isinstance(sections, dict) else ():
            (strategies.find if name == "strategy" else spaces.find_settings)(key)
    return values


def _sections(sections: object, path: Path, where: str) -> Mapping[str, Any]:
    if not isinstance(sections, dict) or not set(sections) <= {*SECTIONS, *CHOSEN}:
        raise ValueError(
            f"{path}: {where} must hold some of the sections {[*SECTIONS, *CHOSEN]}, got {shown(sections)}; correct it."
        )
    return sections


def _section(
    merged: Mapping[str, Any], section: str, name: str, presets: Mapping[str, Mapping[str, Any]], profile: str
) -> dict[str, Any]:
    """The chosen one's section: its own presets, base first, under what the profile says of it."""
    brought = merge(presets.get(BASE, {}).get(section, {}), presets.get(profile, {}).get(section, {}))
    sections = merged.get(section) or {}
    own = (sections.get(name) or {}) if isinstance(sections, dict) else sections
    if not isinstance(own, dict):
        raise ValueError(
            f"a profile's {section} must hold a mapping of keys for each name, got {shown(sections)}; correct it."
        )
    return merge(brought, own)


def _check(settings: Settings) -> None:
    """Refuse what a stage would refuse, before any of them runs."""
    for name, cls in SECTIONS.items():
        settings.section(name, cls)
    _ = settings.of_space, settings.of_network, settings.of_strategy
