"""What more cores give a training step: `python benchmarks/cores.py [S0 S1 S2 S3]`.

A step as the product takes it with one core and with every doubling of them that this machine has, in turns. On paper, more: of the time
on one core a share s stays with one however many share the rest (Amdahl 1967), which two cores tell: t(2) = (s + (1 - s) / 2) t(1).
"""
from statistics import median

import step
import turns

from littlebaby.arrays.backend import cores

PAPER = (4, 8, 16)


def contender(size, workers):
    turns.THREADS = workers
    return step.littlebaby(size)


def doublings(most):
    """1, 2, 4, ... up to `most`"""
    return [2 ** i for i in range(most.bit_length())]


def alone(one, two):
    """The share of a step that no second core shortens, from the seconds with one core and with two"""
    return min(1.0, max(0.0, 2 * two / one - 1))


def faster(share, workers, rows):
    """Times as fast as one core are `workers`, each of which needs a row of the batch"""
    return 1 / (share + (1 - share) / min(workers, rows))


def row(size, medians, foreign):
    rows, one = turns.SIZES[size]["batch_size"], medians["1"]
    gains = {name: [a / b for a, b in zip(one, seconds)] for name, seconds in medians.items() if name != "1"}
    share = median(alone(a, b) for a, b in zip(one, medians["2"]))
    measured = " | ".join(turns.spread(ratios) for ratios in gains.values())
    paper = " | ".join(f"{faster(share, workers, rows):.1f}" for workers in PAPER)
    return f"{size} | {rows} | {1000 * median(one):.1f} | {measured} | {100 * share:.0f}% | {paper} | {turns.load(foreign)}"


def main():
    chosen = turns.options(__doc__, ["S0", "S1", "S2", "S3"], page=turns.SPEED)
    if chosen.contender:
        return turns.serve(*contender(turns.SIZES[chosen.sizes[0]], int(chosen.contender)), chosen.seconds)
    names = [str(workers) for workers in doublings(cores())]
    measured = " | ".join(f"{name} cores, times faster | its range" for name in names[1:])
    paper = " | ".join(f"{workers} cores, computed" for workers in PAPER)
    rows = (row(size, *turns.rounds(names, size, chosen)[:2]) for size in chosen.sizes)
    turns.publish("cores", f"size | rows | 1 core, ms | {measured} | serial share | {paper} | cores used by others", rows, chosen.write,
                  turns.SPEED)


if __name__ == "__main__":
    main()
