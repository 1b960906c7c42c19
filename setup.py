"""What pyproject.toml cannot say: a built package brings the shipped networks, and the profiles that `nasir show` reads."""

from pathlib import Path
from shutil import copytree

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent


class Build(build_py):
    """The files of the packages, then those that no package holds."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        built = Path(self.build_lib)
        for card in ROOT.glob("models/*/card.json"):  # not the state of a pause
            copytree(card.parent, built / "nasir/inference/shipped" / card.parent.name, dirs_exist_ok=True)
        shipped = built / "nasir/commands/shipped"
        copytree(ROOT / "profiles", shipped / "profiles", dirs_exist_ok=True)
        (shipped / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())


setup(cmdclass={"build_py": Build})
