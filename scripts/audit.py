"""Look up the known faults of what requirements.lock pins, by pip-audit in the OSV database.

    .venv/supply/bin/python scripts/audit.py

Exit code 1 if a pinned version has a known fault. If no network answers, one line says so and the exit code is 0:
nothing was looked up then, and nothing is said of faults.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
_NO_ANSWER = re.compile(
    r"ConnectionError|ConnectTimeout|ReadTimeout|NameResolutionError|ProxyError|ServiceError|HTTPError"
)


def verdict(code: int, output: str, errors: str) -> tuple[str, int]:
    """What to say of pip-audit's answer, and the exit code.

    Args:
        code: its exit code: 0 for no faults, 1 for faults or a failure.
        output: its report as JSON; empty after a failure.
        errors: what it says on stderr.
    """
    try:
        packages = json.loads(output)["dependencies"]
    except (ValueError, KeyError):
        last = (errors.strip().splitlines() or [f"exit code {code}"])[-1]
        if _NO_ANSWER.search(last):
            return (
                f"NOT AUDITED: the database of faults did not answer, so nothing is known of faults ({_short(last)})",
                0,
            )
        return f"pip-audit failed: {last}", 2
    skipped = sorted(package["name"] for package in packages if "skip_reason" in package)
    asked = len(packages) - len(skipped)
    if not asked:
        return f"NOT AUDITED: no answer for any of {len(packages)} packages", 0
    faults = [_fault(package, each) for package in packages for each in package.get("vulns", [])]
    lines = [*faults, f"{asked} packages looked up, known faults: {len(faults)}"]
    if skipped:
        lines.append(f"NOT AUDITED: {', '.join(skipped)}")
    return "\n".join(lines), int(bool(faults))


def _fault(package: dict, fault: dict) -> str:
    fixed = ", ".join(fault.get("fix_versions", [])) or "no version yet"
    return f"{package['name']} {package['version']}: {fault['id']}, fixed in {fixed}"


def _short(error: str) -> str:
    return error if len(error) <= 120 else error[:117] + "..."


def main(options: list[str]) -> int:
    call = [
        Path(sys.executable).with_name("pip-audit"),
        "--requirement",
        ROOT / "requirements.lock",
        "--require-hashes",
    ]
    call += [
        "--disable-pip",
        "--vulnerability-service",
        "osv",
        "--format",
        "json",
        "--progress-spinner",
        "off",
        *options,
    ]
    done = subprocess.run(call, capture_output=True, text=True, check=False)
    line, code = verdict(done.returncode, done.stdout, done.stderr)
    print(line)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
