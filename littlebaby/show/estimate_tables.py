"""The results of preflight and bench as text tables."""
from collections.abc import Sequence

from ..arrays import backend
from ..check.bench import Bench
from ..check.preflight import GOOD_RATIO, Preflight, warnings
from ..runs.settings import Config
from .formatting import align_columns, align_pairs, format_bytes, format_duration, format_number


def preflight_table(about: Preflight) -> str:
    """A Preflight as text"""
    wide = len(f"{about.total:,}")
    rows = [("parameters", f"{about.total:,}" + (f", {about.frozen:,} of them frozen" if about.frozen else "") + "".join(
                f"\n{n:>{wide},}  {n / about.total:4.0%}  {part}" for part, n in about.parts.items() if n)),
            ("compute", f"{format_number(about.flops_per_token)} FLOPs per token, {format_number(about.flops_forward)} of them forward; "
                        f"{format_number(about.flops)} in total"),
            ("memory",
             f"about {format_bytes(about.memory)}: " + ", ".join(
                 f"{'best weights' if part == 'best' else part} {format_bytes(n)}" for part, n in about.memory_parts.items())),
            ("steps", f"{about.steps:,} of {about.tokens_per_step:,} tokens, {about.tokens:,} in total"),
            ("text", f"{about.train_tokens:,} training tokens, each seen {about.tokens / about.train_tokens:,.1f} times on average"),
            ("data",
             f"{format_number(about.tokens_per_parameter)} tokens per parameter; large models are best for their compute with about "
             f"{GOOD_RATIO}")]
    if about.published and about.published != about.total:
        rows.insert(0, ("published", f"{about.published:,} parameters with its own vocabulary of {about.published_vocabulary:,} tokens; "
                                     f"with this text's vocabulary of {about.vocabulary:,} tokens {about.total:,} parameters"))
    if about.seconds is not None:
        rows.append(("time", f"about {format_duration(about.seconds)} at {about.tokens_per_second:,.0f} tokens/s"))
    else:
        rows.append(("time", "not estimated: a training step was not measured, or is too large to be measured on this machine"))
    return align_pairs([*rows, ("device", about.device), *(("note", line) for line in about.warnings)])


def bench_table(found: Sequence[Bench]) -> str:
    """Bench results as text: a line for each size, the device, and notes on what slows it down"""
    heads = ("size", "parameters", "step, ms", "matrix products alone, ms", "share of step", "training, tokens/s", "generation, tokens/s",
             "GFLOP/s")
    rows = [(b.size, f"{b.parameters:,}", f"{1000 * b.step:,.1f}", f"{1000 * b.floor:,.1f}", f"{b.floor / b.step:.0%}", f"{b.learned:,.0f}",
             f"{b.written:,.0f}", f"{b.flops / 1e9:,.0f}") for b in found]
    return "\n".join([align_columns([heads, *rows]), "", backend.describe(), *(f"note: {line}" for line in warnings(Config(n_vocab=1)))])
