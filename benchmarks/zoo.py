"""A training step with every attention and every network, at size S1: `python benchmarks/zoo.py`.

All of them in one process, turn by turn; the ratio is to the step of mha with mlp in the same round, beside it that of the FLOPs.
"""
import argparse
from itertools import islice
from statistics import median

import turns

from littlebaby import plans
from littlebaby.check import bench
from littlebaby.check.preflight import flops, steps
from littlebaby.inference.baby import Baby
from littlebaby.runs.settings import allowed

ROUNDS, STEPS = 7, 8


def contenders():
    """{name: config}: mha with mlp first, then what differs from it in one part"""
    names = dict(c_attention=allowed("c_attention"), c_network=allowed("c_network"))
    first = bench.config("S1", c_attention="mha", c_network="mlp", c_device_cpu_cores=turns.THREADS)
    others = {name: first.replace(**{key: name}) for key, each in names.items() for name in each if name not in ("mha", "mlp")}
    return {"mha, mlp": first} | others


def main():
    chosen = turns.publishing(argparse.ArgumentParser(description=__doc__.splitlines()[0]), turns.SPEED)
    configs = contenders()
    plans.use_device(configs["mha, mlp"])
    babies = {name: Baby(cfg) for name, cfg in configs.items()}
    running = {name: steps(baby) for name, baby in babies.items()}
    for each in running.values():
        list(islice(each, turns.WARM))
    turns.wait(chosen.wait)
    own, before, taken = turns.spent(), turns.moment(), {name: [] for name in running}
    for _ in range(ROUNDS):
        for name, each in running.items():
            taken[name].append(median(islice(each, STEPS)))
    foreign = turns.others([(before, turns.moment(), turns.spent() - own)])
    work = {name: flops(cfg, babies[name].spec)[1] for name, cfg in configs.items()}

    def rows():
        for name, times in taken.items():
            ratios = [a / b for a, b in zip(times, taken["mha, mlp"])]
            yield (f"`{name}` | {babies[name].flat.size:,} | {1000 * median(times):.1f} | {turns.spread(ratios)} | "
                   f"{work[name] / work['mha, mlp']:.2f} | {turns.load(foreign)}")

    turns.publish("zoo", "variant | parameters | step, ms | ratio | its range | FLOPs, ratio | cores used by others", rows(), chosen.write,
                  turns.SPEED)


if __name__ == "__main__":
    main()
