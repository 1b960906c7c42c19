"""A supernet of cells that is quick to build: two layers of two widths, one node in a cell."""

from nasir.spaces.cells.section import CellsSection

SMALL = CellsSection(
    layers=2,
    nodes=1,
    operations=(),
    inputs=2,
    none="ranked",
    width=2,
    width_factors=(1.0, 2.0),
    stem_channels=3,
    downscale=1,
    residual=True,
    norm="batch",
    reads_stem=False,
    share_cells=True,
    share_alpha=True,
    beta_norm="incoming",
    activation="relu",
    sigmoid=False,
    partial=1,
    twin="plain",
    recompute="none",
    compile=False,
)
