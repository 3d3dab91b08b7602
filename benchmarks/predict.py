"""What `preflight` says of a training's speed beside the training itself: `python benchmarks/predict.py [S0 S1 S2 S3]`.

The prediction is asked for, then the loop runs for some seconds, in turns; the ratio is the predicted tokens per second to the real ones.
"""
import sys
from statistics import median

import turns

from littlebaby import plans
from littlebaby.check import bench
from littlebaby.check.preflight import median_of, preflight, steps
from littlebaby.inference.baby import Baby

TURNS, SECONDS = 3, 8.0


def turn(size):
    """Tokens per second as predicted, and as measured right after"""
    cfg = bench.config(size, n_steps=1000, c_device_cpu_cores=turns.THREADS)
    plans.use_device(cfg)
    predicted = preflight(cfg, 10 ** 6).tokens_per_second
    return predicted, cfg.batch_size * cfg.n_ctx / median_of(steps(Baby(cfg)), SECONDS)


def row(size):
    own, before = turns.spent(), turns.moment()
    found = [turn(size) for _ in range(TURNS)]
    foreign = turns.others([(before, turns.moment(), turns.spent() - own)])
    predicted, real = (median(each) for each in zip(*found))
    return f"{size} | {predicted:,.0f} | {real:,.0f} | {turns.spread([a / b for a, b in found])} | {turns.load(foreign)}"


def main():
    chosen = turns.options(__doc__, ["S0", "S1", "S2", "S3"])
    turns.wait(chosen.wait)
    turns.publish("predict", "size | predicted, tokens/s | measured, tokens/s | ratio | its range | cores used by others",
                  map(row, chosen.sizes), chosen.write)


if __name__ == "__main__":
    sys.exit(main())
