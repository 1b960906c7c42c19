"""Quantisation tables of JPEG at Photoshop's "Save As" qualities 4 to 7, which the camera pipeline draws from.

Taken as numbers from what Photoshop writes into its files: first rows as in Jaroensri et al. 2019 (`constants.py` of their
code), further rows from a public table of Photoshop's 13 qualities that has the same first rows. Every table is symmetric.
Quality 7 quantises more coarsely than 6: it is the first without chroma subsampling.
"""

QUALITIES = (4, 5, 6, 7)

SUBSAMPLED = (4, 5, 6)
"""The qualities whose chroma planes have half the width and half the height."""

_SIDE = 8
_FLOOR = 12  # every step that a triangle below leaves out

# quality: rows of the upper triangle, each from its diagonal on
_LUMA = {
    4: ((16, 11, 17, 27, 34, 39, 34, 17), (12, 16, 26, 28, 23), (21, 28, 23), (23,)),
    5: ((12, 8, 13, 21, 26, 32, 34, 17), (9, 12, 20, 27, 23), (16, 26, 23), (23,)),
    6: ((8, 6, 9, 14, 17, 21, 28, 17), (6, 8, 13, 18, 23), (11, 17, 23), (23,)),
    7: ((10, 7, 11, 18, 22, 27, 34, 17), (8, 10, 17, 23, 23), (14, 22, 23), (23,)),
}
_CHROMA = {
    4: ((17, 17, 22, 34, 20, 20, 17, 17), (19, 22, 14, 14), (14, 14)),
    5: ((13, 13, 17, 27, 20, 20, 17, 17), (14, 17, 14, 14), (14, 14)),
    6: ((9, 9, 11, 18, 20, 20, 17, 17), (10, 11, 14, 14), (14, 14)),
    7: ((11, 14, 31, 34, 20, 20, 17, 17), (19, 24, 14, 14), (14, 14)),
}


def tables(quality: int) -> tuple[list[int], list[int]]:
    """Luma and chroma table of one quality, each 64 steps of the cosine coefficients, row by row (not in zigzag order).

    Raises:
        ValueError: if the quality is none of 4, 5, 6 and 7.
    """
    if quality not in QUALITIES:
        raise ValueError(f"quality must be one of {QUALITIES} (Photoshop's scale, not libjpeg's), got {quality}.")
    return _mirror(_LUMA[quality]), _mirror(_CHROMA[quality])


def _mirror(triangle: tuple[tuple[int, ...], ...]) -> list[int]:
    """Both halves of a symmetric table, row by row."""
    table = [[_FLOOR] * _SIDE for _ in range(_SIDE)]
    for row, steps in enumerate(triangle):
        for column, step in enumerate(steps, start=row):
            table[row][column] = table[column][row] = step
    return [step for row in table for step in row]
