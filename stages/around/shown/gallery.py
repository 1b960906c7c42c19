"""Pictures as MLflow's charts find them: files in `images/` whose names have key, step and time, each with a small copy."""

import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image

FOLDER = "images"
TAG = "mlflow.loggedImages"
"""Says that a run has pictures; without it no chart looks for them."""

SIDE = 256  # pixels of the longer side of a small copy, as `MlflowClient.log_image` makes it


@contextmanager
def files(picture: Path, key: str, time: int, journal: str) -> Iterator[list[Path]]:
    """The two files of a picture, named as MLflow 3 does; a picture that is sent again has the same names.

    Args:
        picture: PNG file.
        key: under which pictures of several runs stand beside each other.
        time: ms since 1970, UTC.
        journal: identity of the journal that it is from.
    """
    plain = re.sub(r"[^a-zA-Z0-9_\-. ]", "_", key)
    name = f"{plain}+step+0+timestamp+{time}+{uuid.uuid5(uuid.NAMESPACE_OID, f'{journal} {key}')}"
    with TemporaryDirectory() as place, Image.open(picture) as image:
        whole, small = Path(place) / f"{name}.png", Path(place) / f"{name}+compressed.webp"
        whole.write_bytes(picture.read_bytes())
        scale = SIDE / max(image.size)
        image.resize((round(image.width * scale) or 1, round(image.height * scale) or 1)).save(small, lossless=True)
        yield [whole, small]
