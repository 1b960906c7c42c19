"""The leak audit on real data sets: what it finds across them, what it must not find, and how fast.

    python -m benchmarks.leak_audit FOLDER

FOLDER holds bsds500/images/{train,val,test}, bsd68, set12, kodak24, mcmaster and rain800/{training,test_syn} (pairs side by
side, the clean image on the left). Prints Markdown.
"""

import argparse
import time
from pathlib import Path

import numpy as np

from nasir.data.duplicates import audit, leaks
from nasir.data.pictures.images import SUFFIXES, load_grey

PLANTED = 40


def main() -> None:
    """Run all parts and print a table of each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    root = parser.parse_args().folder
    bsds = {f"{s}/{p.stem}": load_grey(p) for s in ("train", "val", "test") for p in files(root / "bsds500/images" / s)}
    small = {f"{s}/{p.stem}": load_grey(p) for s in ("bsd68", "set12") for p in files(root / s)}
    others = {f"{s}/{p.stem}": load_grey(p) for s in ("kodak24", "mcmaster") for p in files(root / s)}
    rain = {f"{s}/{p.stem}": left(load_grey(p)) for s in ("training", "test_syn") for p in files(root / "rain800" / s)}

    print("| images | pairs that show one picture | seconds | processor seconds |\n|---|---|---|---|")
    parts = {name: name.split("/")[0] for name in bsds}
    report("BSDS500: train, val, test against each other", bsds, parts)
    parts = dict.fromkeys(bsds, "bsds500")
    found = report(
        "BSD68 and Set12 against BSDS500", bsds | small, parts | {name: name.split("/")[0] for name in small}
    )
    report("Kodak and McMaster against BSDS500", bsds | others, parts | {name: name.split("/")[0] for name in others})
    report("all of BSDS500 and Rain800's clean images, each with each", bsds | rain, None)

    inside = [match for match in found if match.second.startswith("bsd68")]
    in_val = len({match.second for match in inside if match.first.startswith("val/")})
    print(f"\nBSD68: {in_val} of 68 found in BSDS500's val.")
    for match in found:
        if match.second.startswith("set12"):
            print(f"Set12: {match.second} = {match.first} ({match.how}, correlation {match.correlation:.3f}).")

    planted = leaks.plant(bsds, PLANTED, seed=0)
    start = time.perf_counter()
    parts = dict.fromkeys(bsds, "bsds500") | {leak.name: "planted" for leak in planted}
    matches = audit.find(bsds | {leak.name: leak.image for leak in planted}, parts)
    quality = leaks.assess(planted, [(match.first, match.second) for match in matches])
    print(f"\n{len(planted)} leaks planted in BSDS500, {time.perf_counter() - start:.0f} s:\n")
    print("| kind | found | of |\n|---|---|---|")
    for kind in leaks.KINDS:
        print(f"| {kind} | {quality.found[kind]} | {quality.planted[kind]} |")
    print(
        f"\nRecall {quality.recall:.4f}, precision {quality.precision:.4f}; false pairs: {list(quality.false) or 'none'}."
    )


def report(title: str, images: dict[str, audit.Grey], parts: dict[str, str] | None) -> list[audit.Match]:
    """Search, print a row, give the matches."""
    wall, processor = time.perf_counter(), time.process_time()
    matches = audit.find(images, parts)
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    print(f"| {title} ({len(images)}) | {len(matches)} | {wall:.0f} | {processor:.0f} |", flush=True)
    return matches


def files(folder: Path) -> list[Path]:
    """The images of a folder; an empty one is named."""
    found = [path for path in sorted(folder.glob("*")) if path.suffix.lower() in SUFFIXES]
    if not found:
        raise SystemExit(f"{folder} must hold images, got none; give the folder of all data sets.")
    return found


def left(pair: audit.Grey) -> audit.Grey:
    """The left half of a side-by-side pair."""
    return np.ascontiguousarray(pair[:, : pair.shape[1] // 2])


if __name__ == "__main__":
    main()
