# SPDX-License-Identifier: GPL-3.0-or-later
"""``gr-semantic ablations``: what each part of the scheme is worth, in one table."""

from pathlib import Path

import click


@click.command()
@click.option("--quick", is_flag=True, help="Reduced schedule: 6,000 images, 8 epochs; minutes a row on a CPU.")
@click.option("--only", multiple=True, help="Name of a row, repeatable. [default: all that have no result yet]")
@click.option("--out", type=click.Path(path_type=Path), help="Results. [default: docs/results/ablations]")
@click.option("--work", type=click.Path(path_type=Path), help="Checkpoints. [default: work/ablations or -quick]")
@click.option("--knowledge", type=click.Path(path_type=Path), help="Teacher and store. [default: work/fashion-mnist]")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda.")
@click.option("--threads", type=click.IntRange(1), help="CPU threads of torch.")
def ablations(quick, only, out, work, knowledge, device, threads):
    """Train and measure every row of models/experiments/ablations: parts taken away, and baselines.

    A row that has a result is not made again; killed, the same command goes on with the epoch it was in. The table so
    far is written to table.md after each row.

    \b
    Examples:
      gr-semantic ablations --quick
      gr-semantic ablations --device cuda --only full --only labels-only
    """
    import torch

    from gr_semantic.bench.label_bits import label_accuracy
    from gr_semantic.errors import UserError
    from gr_semantic.paths import ROOT
    from semantic_models.ablations import ROWS, ablation_table, run_ablations
    from semantic_models.distill import make_writable

    for name in only:
        if name not in ROWS:
            raise UserError(f"--only {name}: no such row; there are {', '.join(ROWS)}")
    if threads:
        torch.set_num_threads(threads)
    out = out or ROOT / "docs" / "results" / "ablations"
    make_writable(out)
    rows = run_ablations(
        ROOT / "models" / "experiments" / "ablations",
        out,
        work or Path("work") / ("ablations-quick" if quick else "ablations"),
        knowledge or Path("work") / "fashion-mnist",
        label_accuracy,
        quick,
        only,
        device,
    )
    click.echo(ablation_table(rows))
