"""The page of a study of search strategies and its networks, as small as they can be."""

from pathlib import Path

from nasir.files import write_csv, write_text

COLUMNS = ("network", "search", "seed", "parameters", "flops_per_pixel", "v_psnr_db", "psnr_db")


NETWORKS = [
    ("found-one-shot-0", "one_shot", 150, 25.3),
    ("random-00", "", 100, 25.0),
    ("random-01", "", 200, 25.2),
    ("again-00", "", 100, 24.0),
    ("random-02", "", 150, 25.1),
]
"""Job, search, parameters and PSNR in dB."""


def write_study(folder: Path, name: str, networks: list[tuple[str, str, int, float]]) -> None:
    """Write the study's page and its networks into a folder."""
    rows = [
        dict(zip(COLUMNS, (network, search, 0, parameters, 2.0 * parameters, 0, psnr), strict=True))
        for network, search, parameters, psnr in networks
    ]
    write_csv(folder / name / "networks.csv", rows, COLUMNS)
    write_text(
        folder / f"{name}.md", "# Does a search?\n\nbsd500, sigma 50.\n\n**Unfinished.**\n\n## Random networks\n"
    )
