"""Put the workflow into the wheel; everything else about the build stands in pyproject.toml."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

# In the checkout these stand at the root, where Snakemake's users and catalog look for them.
WORKFLOW = ("Snakefile", "environment.yml", "config", "profiles", "workflow")


class BuildWithWorkflow(build_py):
    """Build the package with a copy of the workflow in ``maskgrid/pipeline``; an editable install uses the checkout."""

    def run(self) -> None:
        """Build, then copy."""
        super().run()
        if self.editable_mode:
            return
        target = Path(self.build_lib) / "maskgrid" / "pipeline"
        shutil.rmtree(target, ignore_errors=True)  # an earlier build may have left files that are gone by now
        target.mkdir(parents=True)
        for name in WORKFLOW:
            if Path(name).is_dir():
                shutil.copytree(name, target / name, ignore=shutil.ignore_patterns(".*", "__pycache__"))
            else:
                shutil.copy2(name, target / name)


setup(cmdclass={"build_py": BuildWithWorkflow})
