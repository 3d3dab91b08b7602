"""Generated documents: the files of a clone that are generated from others, rewritten if they are out of date."""
from pathlib import Path
from typing import Any

from ..check import laws
from ..runs import disk
from .process_control import print_to_stderr

CLONE = Path(__file__).parents[2]


def renew_generated(pictures: bool = False, measure: bool = False, root: str | Path = CLONE) -> tuple[list[str], int]:
    """Write every generated file of a clone that is out of date.

    Args:
        pictures: Whether to renew the pictures of the variants too.
        measure: Whether to measure all checks of the variants again, which takes minutes.
        root: Folder of the clone.

    Returns:
        (paths below `root` of the files that were written, number of all generated files)

    Raises:
        BadInput: `root` is no clone.
    """
    from ..show.generated import generated

    def verdicts(name: str) -> list[dict[str, Any]]:
        print_to_stderr(f"measuring {name}")
        return laws.verdicts(name)

    made = generated(Path(root), pictures, measure, verdicts)
    stale = [path for path, data in made.items() if not (Path(root) / path).exists() or disk.read_bytes(Path(root) / path) != data]
    for path in stale:
        disk.write_file(Path(root) / path, [made[path]])
    return stale, len(made)
