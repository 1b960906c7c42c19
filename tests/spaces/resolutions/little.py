"""A little space of columns."""

from nasir.spaces.resolutions.section import ColumnsSection

LITTLE = ColumnsSection(
    columns=(2, 1, 1), widths=(4, 6, 8, 10), stem_blocks=2, downscale=1, transition="before",
    residual=False, norm="batch", initial_std=0.0,
    aliasing="fixed", costs="published",
)  # fmt: skip
AUTHORS = ColumnsSection(
    columns=(4, 4, 4), widths=(32, 64, 128, 256), stem_blocks=2, downscale=1, transition="before",
    residual=False, norm="batch",
    initial_std=0.001, aliasing="fixed", costs="published",
)  # fmt: skip
