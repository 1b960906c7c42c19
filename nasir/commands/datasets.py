"""`nasir datasets`: what images there are to train on, on what terms, and which of them lie here."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nasir.commands.failing import refusing
from nasir.commands.terminal import align, print_json, say

if TYPE_CHECKING:
    from nasir.data.manifest import Dataset

DOWNLOADS = Path("runs/download")
"""Where the pipeline puts data sets, from the repository's root."""


@refusing
def datasets(
    folder: Annotated[
        Path | None,
        typer.Option(help="Where to look: a folder with one for each data set, or one of them; none: runs/download."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """List the data sets: images, tasks, terms, bytes, and whether all their files lie in FOLDER, verified by their SHA-256.

    A data set of pairs gives the task that its pairs show; of clean images, denoise adds its noise, and for derain, camera and
    deblur a simulation makes the pairs. Bytes are those of the images: an archive that holds more is longer.
    """
    from nasir.data.datasets import catalogue

    if folder is not None and not folder.is_dir():
        raise ValueError(
            f"--folder must be a folder with data sets, got {'a file' if folder.exists() else 'nothing'} at {folder}."
        )
    found = [_facts(catalogue.get(name), folder or DOWNLOADS) for name in catalogue.names()]
    if json:
        print_json({"datasets": found})
        return
    own = f"{catalogue.FOLDER}: your own images, wherever they lie (DATASETS.md)"
    say("\n\n".join([*(_text(facts) for facts in found), own]))


def _facts(dataset: "Dataset", folder: Path) -> dict[str, Any]:
    from nasir import task as tasks

    entries = dataset.entries
    is_paired = dataset.layout != "clean"
    # two_folders: a pair is two files, and each counts once
    files = [e for e in entries if dataset.layout != "two_folders" or "clean" in Path(e.path).parts[:-1]]
    where, problems = _look(dataset, folder)
    return {
        "name": dataset.name,
        "what": _about(dataset),
        "train": sum(entry.split == "train" for entry in files),
        "test": sum(entry.split == "test" for entry in files),
        "layout": dataset.layout,
        "tasks": {name: _made_of(task.is_paired, is_paired) for name, task in tasks.TASKS.items()},
        "terms": dataset.terms,
        "is_shipped": dataset.is_shipped,
        "sources": [source.url for source in dataset.sources],
        "files": len(entries),
        "bytes": sum(entry.bytes for entry in entries),
        "folder": str(where),
        "files_there": len(entries) - len(problems),
        "problems": problems[:3],
    }


def _made_of(needs_pairs: bool, has_pairs: bool) -> str:
    """Where a task's images come from."""
    if not needs_pairs:
        return "clean images"
    return "its own pairs, if they show this" if has_pairs else "simulated pairs"


def _about(dataset: "Dataset") -> str:
    """The first sentence of its file, without its name."""
    from importlib import import_module

    said = import_module(f"nasir.data.datasets.{dataset.name}").__doc__ or ""
    return " ".join(said.partition("\n\n")[0].split()).removeprefix(f"`{dataset.name}`: ")


def _look(dataset: "Dataset", folder: Path) -> tuple[Path, list[str]]:
    """The folder below FOLDER, or FOLDER itself, where more of its files are right; and what is wrong with the others."""
    from nasir.data import manifest

    own, own_problems = folder / dataset.name, manifest.verify(folder / dataset.name, dataset.entries)
    here = manifest.verify(folder, dataset.entries)
    return (folder, here) if len(here) < len(own_problems) else (own, own_problems)


def _text(facts: dict[str, Any]) -> str:
    clean = facts["layout"] == "clean"
    tasks = (
        "denoise; derain, camera and deblur simulated"
        if clean
        else "that of its own pairs; denoise, of their clean images"
    )
    there, files = facts["files_there"], facts["files"]
    state = "all verified" if there == files else f"{there} of {files} files are right; {facts['problems'][0]}"
    if there == 0:
        state = "not there"
    lines = [
        ("  images", f"{facts['train']} for training, {facts['test']} for test ({facts['layout']})"),
        ("  tasks", tasks),
        ("  terms", facts["terms"]),
        (
            "  size",
            f"{facts['bytes'] / 1e6:.1f} MB"
            + (", comes with the repository" if facts["is_shipped"] else " to download"),
        ),
        ("  folder", f"{facts['folder']}: {state}"),
    ]
    return f"{facts['name']}: {facts['what']}\n{align(lines, left=2)}"
