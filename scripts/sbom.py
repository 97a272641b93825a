"""Write the SBOM of what requirements.lock pins, as CycloneDX JSON.

    .venv/supply/bin/python scripts/sbom.py .venv maskgrid.cdx.json

cyclonedx-py reads the lock, with versions and hashes, and the environment, whose packages declare licences. The second
adds to the first: what is pinned but not installed here, such as a package for another platform, has no licence.
"""

import importlib.metadata
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
_ADDED = ("licenses", "description")


def main(environment: Path, output: Path) -> None:
    # Only the tools' environment has it.
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    project = ["--pyproject", str(ROOT / "pyproject.toml")]
    bom = _cyclonedx("requirements", str(ROOT / "requirements.lock"), *project)
    complete(bom, _cyclonedx("environment", str(environment)), free_licences(environment))
    text = json.dumps(bom, indent=1) + "\n"
    if (error := JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)) is not None:
        sys.exit(f"the SBOM is not CycloneDX 1.6: {error}")
    output.write_text(text)
    components = bom["components"]
    without = [component["name"] for component in components if not component.get("licenses")]
    rest = f"; no licence is declared by {', '.join(without)}" if without else ""
    print(f"{output}: {len(components)} packages with hashes, {len(components) - len(without)} with licences{rest}")


def _cyclonedx(*arguments: str) -> dict[str, Any]:
    program = Path(sys.executable).with_name("cyclonedx-py")
    call = [program, *arguments, "--spec-version", "1.6", "--output-reproducible", "--output-format", "JSON"]
    # It warns that a lock says nothing of which package needs which.
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
    bom: dict[str, Any] = json.loads(subprocess.run(call, stdout=subprocess.PIPE, check=True, env=environment).stdout)
    return bom


def free_licences(environment: Path) -> dict[str, str]:
    """Licences in words of the package's own, such as ``BSD``, by reference; cyclonedx-py takes SPDX's names alone."""
    folders = [str(path) for path in environment.glob("[lL]ib/**/site-packages")]
    found = {}
    for package in importlib.metadata.distributions(path=folders):
        words = (package.metadata.get("License") or "").strip()
        if words and "\n" not in words and words.upper() != "UNKNOWN":
            found[_reference({"name": package.metadata["Name"], "version": package.version})] = words
    return found


def complete(bom: dict[str, Any], installed: dict[str, Any], licences: dict[str, str]) -> None:
    """Add to the lock's SBOM what installed packages of the same name and version say of themselves.

    References are names and versions, not lines of the lock, so that a changed pin changes one component. The project
    depends on all of them.
    """
    known = {_reference(component): component for component in installed["components"]}
    for component in bom["components"]:
        reference = _reference(component)
        component.pop("description", None)  # the line of the lock
        component["bom-ref"] = reference
        there = known.get(reference, {})
        component.update({key: there[key] for key in _ADDED if key in there})
        if not component.get("licenses") and reference in licences:
            component["licenses"] = [{"license": {"name": licences[reference], "acknowledgement": "declared"}}]
    root = bom["metadata"]["component"]["bom-ref"]
    references = sorted(component["bom-ref"] for component in bom["components"])
    bom["dependencies"] = [{"ref": root, "dependsOn": references}, *({"ref": reference} for reference in references)]


def _reference(component: dict[str, Any]) -> str:
    """``name==version`` in one spelling; the build after a plus sign, as in 2.14.1+cpu, makes no other package."""
    name = re.sub(r"[-_.]+", "-", component["name"]).lower()
    return f"{name}=={component.get('version', '').partition('+')[0]}"


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
