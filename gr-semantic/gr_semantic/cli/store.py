# SPDX-License-Identifier: GPL-3.0-or-later
"""``gr-semantic store``: build, show and verify knowledge stores."""

import json
from pathlib import Path

import click

from .distill import experiment_file


@click.group()
def store():
    """Knowledge stores: what a teacher said about every view of every training image."""


@store.command()
@click.argument("experiment", type=click.Path(path_type=Path))
@click.option("--work", type=click.Path(path_type=Path), help="Folder of teacher and store. [default: work/NAME]")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda.")
@click.option("--threads", type=click.IntRange(1), help="CPU threads of torch.")
def build(experiment, work, device, threads):
    """Build the store of EXPERIMENT (a name in models/experiments, or a YAML file); `gr-semantic distill` then uses it.

    The teacher is opened, or trained first where the experiment says so. A killed build goes on where it was.
    """
    import torch

    from semantic_models.distill import build_knowledge, load_experiment

    if threads:
        torch.set_num_threads(threads)
    path = experiment_file(experiment)
    built = build_knowledge(path, work or Path("work") / load_experiment(path)["name"], device)
    click.echo(_summary(_info(built)))


@store.command()
@click.argument("experiment", type=click.Path(path_type=Path))
@click.option("--work", type=click.Path(path_type=Path), help="Folder of teacher and store. [default: work/NAME]")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda.")
@click.option("--threads", type=click.IntRange(1), help="CPU threads of torch.")
def teacher(experiment, work, device, threads):
    """Train only the teacher of EXPERIMENT, where the experiment says how; `build` and `distill` then use it.

    bfloat16 on a GPU, and on CPUs that can. Killed, the same command goes on after the last whole epoch.

    \b
    Examples:
      gr-semantic store teacher cifar100 --device cuda
      torchrun --standalone --nproc-per-node 4 --no-python gr-semantic store teacher cifar100
    """
    import torch

    from semantic_models.distill import load_experiment, train_experiment_teacher

    if threads:
        torch.set_num_threads(threads)
    path = experiment_file(experiment)
    trained = train_experiment_teacher(path, work or Path("work") / load_experiment(path)["name"], device)
    click.echo(f"teacher {trained}")


@store.command()
@click.argument("path", metavar="STORE", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")
def info(path, as_json):
    """Check STORE's size and checksum, and show what it was made from."""
    facts = _info(path)
    click.echo(json.dumps(facts, indent=2) if as_json else _summary(facts))


@store.command()
@click.argument("path", metavar="STORE", type=click.Path(path_type=Path))
@click.option("--teacher", help="Name or .safetensors file. [default: what the store names]")
@click.option("--images", help="Image set. [default: what the store names]")
@click.option("--records", type=click.IntRange(1), default=500, show_default=True, help="Records to ask again.")
@click.option("--seed", default=0, show_default=True, help="Seed of the draw.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")
def verify(path, teacher, images, records, seed, device, as_json):
    """Ask the teacher again about random records of STORE, and compare.

    A store that is truncated, altered, of other images or another teacher is refused with the reason.
    """
    from gr_semantic.errors import UserError
    from semantic_models import load_images
    from semantic_models.device import choose_device
    from semantic_models.knowledge_store import KnowledgeStore, verify_store
    from semantic_models.teachers import open_teacher

    opened = KnowledgeStore(path)
    name = teacher or opened.header.get("teacher")
    if not name:
        raise UserError(f"knowledge store {path}: names no teacher; give --teacher")
    network = open_teacher(name, choose_device(device))
    result = verify_store(opened, network, load_images(images or opened.header["data"]), records, seed)
    text = (
        f"{result['records']} records are what the teacher says: probabilities at most "
        f"{result['largest_difference']:.5f} apart, {result['mean_difference']:.5f} on average"
    )
    if "largest_feature_difference" in result:
        text += f"; embeddings at most {100 * result['largest_feature_difference']:.2f} % of their length"
    click.echo(json.dumps(result) if as_json else text)


def _info(path):
    from semantic_models.knowledge_store import KnowledgeStore

    opened = KnowledgeStore(path)
    size = path.stat().st_size
    return {"path": str(path), "bytes": size, "bytes_per_view": opened.records.dtype.itemsize, **opened.header}


def _summary(facts):
    width = max(map(len, facts))
    return "\n".join(f"{key:{width}}  {value}" for key, value in facts.items())
