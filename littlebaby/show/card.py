"""Runs in plain words for a terminal: the card of one, the list of all, the laws of a variant."""
from textwrap import fill


def card(info):
    """What `info` knows, aligned"""
    cfg, report = info["config"], info["report"]
    lines = [("run", info["guid"]),
             ("model", f"{cfg['c_attention']} + {cfg['c_network']}, {cfg['c_sequence']}-{cfg['c_norm']}, {cfg['c_position']} positions, "
                       f"{cfg['n_layers']} layers of {cfg['n_emb']}, {cfg['n_heads']} heads, {cfg['n_ctx']} tokens in view")]
    if report:
        lines += about_report(report, cfg)
    lines += [("file" if not i else "", f"{file['path']}  {size(file['bytes'])}") for i, file in enumerate(info["files"])]
    text = "\n".join(f"{name:<12}{value}" for name, value in lines)
    samples = [row for row in (report or {}).get("evaluations", []) if row["sample"]]
    if samples:
        chosen = samples[::max(1, len(samples) // 5)]
        text += "\n\ngrowing up\n" + "\n".join(f"{row['step']:>8,}  {' '.join(row['sample'].split())[:110]}" for row in chosen)
    return text + (f"\n\n{page(info['completion'])}" if info["completion"] else "")


def about_report(report, cfg):
    lines = []
    if report["input"]:
        lines.append(("text", f"{report['input']['name']}, {report['input']['characters']:,} characters, {report['train_tokens']:,} + "
                              f"{report['valid_tokens']:,} {report['tokenizer']} tokens of {report['vocabulary']:,}"))
    figures = report["figures"]
    if figures:
        shares = ", ".join(f"{name} {n:,}" for name, n in figures["parts"].items() if n)
        lines += [("parameters", f"{figures['parameters']['total']:,}: {shares}"
                                 + (f"; {figures['parameters']['frozen']:,} frozen" if figures["parameters"]["frozen"] else "")),
                  ("learned", f"{figures['tokens']:,} tokens, {figures['tokens_per_parameter']:.1f} per parameter (about 20 is a good use), "
                              f"in {figures['seconds']:.0f} s, {figures['tokens_per_second']:,.0f} tokens/s, {report['stop_reason']}"),
                  ("arithmetic", f"{figures['flops_per_token']:.3g} FLOPs per token, {figures['flops']:.3g} in all; "
                                 f"about {size(figures['memory'])} of memory")]
    if report["best_valid_loss"] is not None:
        bits = figures and figures["bits_per_character"]
        lines.append(("loss", f"{report['best_valid_loss']:.4f} nats per token on held-out text at step {report['best_step']:,}"
                              + (f", {bits:.3f} bits per character" if bits is not None else "")))
    if report["nursery_floor"] and report["best_valid_loss"] is not None:
        lines.append(("perfection", f"{report['nursery_floor']:.4f} nats per token is the floor of this text: the baby is at "
                                    f"{report['best_valid_loss'] / report['nursery_floor']:.2f} times"))
    if report["marks"]:
        marks = report["marks"]
        lines.append(("grammar", f"{marks['words']:.1%} of its words are the nursery's, {marks['sentences']:.0%} of its sentences stand "
                                 f"where they may, {marks['stories']:.0%} of its stories are right from beginning to end"))
    if figures and figures["longest_overlap"] is not None:
        share = figures["overlap_share"]
        lines.append(("by heart", f"longest piece found in the text {figures['longest_overlap']} characters"
                                  + (f", {share:.0%} of all pieces of 50" if share is not None else "")))
    if report["environment"]:
        lines.append(("device", f"{report['environment']['device']}, {report['environment']['threads']} threads"))
    return lines


def page(text):
    """A text as a page: paragraphs kept, lines no longer than 100"""
    return "\n".join(fill(line, 100) if line.strip() else "" for line in text.strip("\n").split("\n"))


def listing(runs):
    """One line a run, the oldest first"""
    if not runs:
        return "no runs yet; `littlebaby train` makes one"
    lines = []
    for run in runs:
        loss = run.report and run.report.best_valid_loss
        what = f"{run.config.c_attention}+{run.config.c_network} {run.config.n_layers}x{run.config.n_emb}" if run.config else "no config"
        text = run.report.input.name if run.report and run.report.input else ""
        lines.append(f"{run.name:<48} {run.time:%Y-%m-%d %H:%M}  {what:<16} {f'{loss:.3f}' if loss is not None else '-':>7}  {text}"
                     + "".join(f"\n    damaged: {sentence}" for sentence in run.damaged))
    return "\n".join(lines)


def verdict(name, rows):
    """The laws' numbers, a line for every option"""
    head = f"{name:<44} {'gradient':>9} {'decoding':>9} {'causality':>9}  life\n"
    line = lambda row: (f"{', '.join(f'{k}={v}' for k, v in row['settings'].items()) or 'as it is':<44} {row['gradient']:>9.1e} "
                        f"{row['decoding']:>9.1e} {row['causality']:>9.1e}  {', '.join(row['life']) or 'all'}"
                        f"{'' if row['kept'] else '   BROKEN'}")
    return head + "\n".join(map(line, rows))


def size(n):
    """Bytes in words"""
    for unit, one in (("GiB", 2 ** 30), ("MiB", 2 ** 20), ("kiB", 2 ** 10)):
        if n >= one:
            return f"{n / one:,.1f} {unit}"
    return f"{n} bytes"
