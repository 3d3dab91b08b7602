"""What `preflight` says of a training's speed beside the training itself: `python benchmarks/predict.py [S0 S1 S2 S3]`.

The prediction is asked for, then the loop runs for some seconds, in turns; the ratio is the predicted tokens per second to the real ones.
"""
import sys
from statistics import median
from time import perf_counter, process_time

import turns

from littlebaby import plans
from littlebaby.learning.baby import Baby
from littlebaby.runs.records import Config
from littlebaby.show import bench
from littlebaby.show.preflight import preflight

TURNS, SECONDS = 3, 8.0


def turn(size):
    """Tokens per second as predicted, and as measured right after"""
    cfg = Config(**bench.SIZES[size], **bench.GPT2, n_steps=1000, s_eval=10 ** 9, s_checkpoint=10 ** 9, n_sample=0,
                 c_device_cpu_cores=turns.THREADS)
    plans.device(cfg)
    predicted = preflight(cfg, 10 ** 6).tokens_per_second
    steps, taken, end = bench.steps(Baby(cfg)), [], perf_counter() + SECONDS
    next(steps)
    while len(taken) < turns.LEAST or perf_counter() < end:
        taken.append(next(steps))
    steps.close()
    return predicted, cfg.batch_size * cfg.n_ctx / median(taken)


def row(size):
    own, before = process_time(), turns.moment()
    found = [turn(size) for _ in range(TURNS)]
    foreign = turns.others([(before, turns.moment(), process_time() - own)])
    predicted, real = (median(each) for each in zip(*found))
    return f"{size} | {predicted:,.0f} | {real:,.0f} | {turns.spread([a / b for a, b in found])} | {turns.load(foreign)}"


def main():
    chosen = turns.options(__doc__, ["S0", "S1", "S2", "S3"])
    turns.wait(chosen.wait)
    turns.publish("predict", "size | predicted, tokens/s | measured, tokens/s | ratio | its range | cores used by others",
                  map(row, chosen.sizes), chosen.write)


if __name__ == "__main__":
    sys.exit(main())
