"""Documents: the files of a clone that are made from others, written anew where they are out of date."""
from pathlib import Path

from ..check import laws
from ..runs import disk
from .process_control import print_to_stderr

CLONE = Path(__file__).parents[2]


def renew_generated(pictures=False, measure=False, root=CLONE):
    """Writes every generated file of a clone that is out of date; returns ([path below root that was written, ...], number of all).

    pictures: the variants' pictures, too. measure: every number of the laws anew, which takes minutes. BadInput: `root` is no clone.
    """
    from ..show.generated import generated

    def verdicts(name):
        print_to_stderr(f"measuring {name}")
        return laws.verdicts(name)

    made = generated(Path(root), pictures, measure, verdicts)
    stale = [path for path, data in made.items() if not (Path(root) / path).exists() or disk.read_bytes(Path(root) / path) != data]
    for path in stale:
        disk.write_file(Path(root) / path, [made[path]])
    return stale, len(made)
