"""Lines of Python per part of the package, at one commit or at two.

python benchmarks/lines.py a2b1187 HEAD
"""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import PurePosixPath

PACKAGE = "src/bridgeseg/"


def git(*words: str) -> str:
    return subprocess.run(["git", *words], capture_output=True, text=True, check=True).stdout


def count(commit: str) -> Counter[str]:
    """Lines of all .py files at a commit, by their first folder below the package; single files by their name."""
    lines: Counter[str] = Counter()
    for name in git("ls-tree", "-r", "--name-only", commit, PACKAGE).splitlines():
        if name.endswith(".py"):
            first, *rest = PurePosixPath(name.removeprefix(PACKAGE)).parts
            lines[f"{first}/" if rest else "single files"] += git("show", f"{commit}:{name}").count("\n")
    return lines


def main() -> None:
    counts = [count(commit) for commit in sys.argv[1:] or ["HEAD"]]
    names = sorted(set().union(*counts))
    print("| part |", " | ".join(sys.argv[1:] or ["HEAD"]), "|")
    print("|---|" + "---|" * len(counts))
    for name in names:
        print(f"| {name} |", " | ".join(str(lines[name]) if lines[name] else "" for lines in counts), "|")
    print("| all |", " | ".join(str(lines.total()) for lines in counts), "|")


if __name__ == "__main__":
    main()
