# SPDX-License-Identifier: GPL-3.0-or-later
"""``gr-semantic distill``: an experiment from its file to a codec."""

from pathlib import Path

import click


def experiment_file(name: Path) -> Path:
    """The file of an experiment that is given by a path, or by its name in models/experiments, such as
    cifar10 or edge/cifar10-edge-2."""
    from gr_semantic.paths import ROOT

    named = ROOT / "models" / "experiments" / f"{name}.yaml"
    return named if not name.is_file() and not name.is_absolute() and named.is_file() else name


@click.command()
@click.argument("experiment", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="Codec folder. [default: models/zoo/NAME]")
@click.option("--work", type=click.Path(path_type=Path), help="Checkpoints, store, logs. [default: work/NAME]")
@click.option(
    "--knowledge",
    type=click.Path(path_type=Path),
    help="Teacher and store, where experiments share them. [default: that of --work]",
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda.")
@click.option("--threads", type=click.IntRange(1), help="CPU threads of torch.")
def distill(experiment, out, work, knowledge, device, threads):
    """Run EXPERIMENT (a name in models/experiments, or a YAML file): teacher, knowledge store, student, evaluation.

    Ctrl-C or a kill loses at most the epoch in progress: the same command goes on from there.

    \b
    Examples:
      gr-semantic distill fashion-mnist
      gr-semantic distill cifar10 --device cuda
      gr-semantic distill baselines/fashion-mnist-deepjscc
      gr-semantic distill my.yaml --out my-codec --work my-work
      torchrun --standalone --nproc-per-node 4 --no-python gr-semantic distill cifar100
    """
    import torch

    from gr_semantic.paths import ZOO
    from semantic_models.deepjscc_training import distill_deepjscc, is_deepjscc
    from semantic_models.distill import distill as distill_student
    from semantic_models.distill import load_experiment

    if threads:
        torch.set_num_threads(threads)
    path = experiment_file(experiment)
    described = load_experiment(path)
    name = described["name"]
    run = distill_deepjscc if is_deepjscc(described) else distill_student
    result = run(path, out or ZOO / name, work or Path("work") / name, device, knowledge)
    if result is not None:  # None: one of torchrun's other processes
        click.echo(f"codec {out or ZOO / name}: {100 * result['clean_accuracy']:.2f} % without a channel")
