"""What commands are about: a network that a person names, be it a folder, a shipped one's name, or a genotype's file."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

    from nasir.spaces.contract import Space

PLACES = (Path(__file__).parents[2], Path(__file__).parent / "shipped")
"""Where params.yaml and profiles, which have the sizes of networks, may lie: in the repository; in an installed package."""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A network and what is known of it."""

    name: str  # as a person gave it
    network: "nn.Module"  # as it is counted; of a genotype with fresh weights
    channels: int  # of its images
    facts: Mapping[str, Any]  # the space and the sizes of its networks or the baseline's name; what it was trained for
    description: str
    outline: Mapping[str, str]  # each choice of its genotype by what it is; empty for a hand-designed network
    space: "Space | None" = None  # None for a hand-designed network
    genotype: Any = None
    section: Mapping[str, Any] | None = None  # its sizes, as drawings take them

    def lines(self) -> dict[str, str]:
        """Facts and outline as a person reads them, by what each is."""
        facts = {key: _written(value) for key, value in self.facts.items()}
        return facts | dict(self.outline)


def _written(value: object) -> str:
    if isinstance(value, list):
        return " ".join(map(str, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)


def read(name: str, sizes: str | None = None) -> Subject:
    """The network of a name.

    Args:
        name: a folder that retrain wrote, the name of a shipped network, or a genotype's JSON file.
        sizes: the profile that says how wide a genotype's network is and for which images; none: that of params.yaml.

    Raises:
        ValueError: if there is no such network, a file of it is damaged, or `sizes` are given for one that has its own.
    """
    path = Path(name)
    if path.suffix == ".json":
        return _of_genotype(path, sizes)
    if sizes is not None:
        raise ValueError(
            f"--sizes says how wide a genotype's network is, got it for the trained network {name}; leave it out."
        )
    return _of_model(name)


def _of_model(name: str) -> Subject:
    from nasir.inference import model as models
    from nasir.inference import zoo

    denoiser = models.load(name)
    value = models.describe(zoo.SHELF / name if name in zoo.names() else Path(name))
    trained_for = {key: value[key] for key in ("task", "sigma", "channels")}
    if "tone" in value:
        trained_for["kinds of tone"] = value["tone"]["kinds"]
    if "network" in value:
        return Subject(
            name=name, network=denoiser.network, channels=denoiser.channels,
            facts={"network": value["network"]} | trained_for, description=_of_baseline(value["network"]), outline={},
        )  # fmt: skip
    return _searched(name, value["genotype"], value["sizes"], trained_for, denoiser.network)


def _of_baseline(name: str) -> str:
    """The first sentence of a hand-designed network's file."""
    from importlib import import_module

    from nasir.networks import catalogue

    said = import_module(catalogue.module(name)).__doc__ or ""
    return " ".join(said.strip().partition("\n\n")[0].split())


def _of_genotype(path: Path, sizes: str | None) -> Subject:
    from nasir import task as tasks
    from nasir.config import reading
    from nasir.files import read_json
    from nasir.settings import resolve
    from nasir.spaces import contract

    try:
        value = read_json(path)
        space = contract.of_json(value)
        space.from_json(value)
    except ValueError as error:
        raise ValueError(f"{path} must be a genotype as derive writes it: {error}") from error
    root = next((place for place in PLACES if (place / "params.yaml").is_file()), PLACES[0])
    params = reading.read(root / "params.yaml") | {"space": space.name} | ({} if sizes is None else {"profile": sizes})
    resolved = resolve(params, root / "profiles")
    facts = {"sizes of": f"profile {params['profile']}", "channels": tasks.find(params["task"]).channels}
    return _searched(str(path), value, resolved["network"], facts)


def _searched(
    name: str,
    value: Mapping[str, Any],
    section: Mapping[str, Any],
    facts: Mapping[str, Any],
    network: "nn.Module | None" = None,
) -> Subject:
    """A network of a search space out of its genotype's JSON and its sizes."""
    from nasir.config import reading
    from nasir.spaces import contract

    space = contract.of_json(value)
    genotype = space.from_json(value)
    sizes: Any = reading.build(section, space.Sizes, f"{name}: sizes")
    return Subject(
        name=name, network=space.build(genotype, sizes, facts["channels"]) if network is None else network,
        channels=facts["channels"], facts={"space": space.name} | dict(facts) | dict(section),
        description=space.describe(genotype, sizes), outline=_outline(space, genotype, sizes), space=space, genotype=genotype,
        section=section,
    )  # fmt: skip


def _outline(space: "Space", genotype: Any, sizes: Any) -> dict[str, str]:
    """What the space's drawing says in words; where it says nothing, the genotype's JSON."""
    import json

    from nasir.spaces import contract

    say = getattr(contract.part(space.drawing), "outline", None)
    if say is None:
        return {key: json.dumps(value) for key, value in space.to_json(genotype).items()}
    outline: dict[str, str] = say(genotype, sizes)
    return outline
