# SPDX-License-Identifier: GPL-3.0-or-later
"""``gr-semantic embedding``: what the receiver knows of an image beyond its class."""

import json
from pathlib import Path

import click

from .evaluate import CHANNELS


@click.command()
@click.argument("codec")
@click.option("--channel", "channels", multiple=True, type=click.Choice(CHANNELS), help="Repeatable. [default: awgn]")
@click.option("--snr-db", multiple=True, type=float, help="Repeatable. [default: -10 to 24 dB in steps of 2]")
@click.option("--budget", "budgets", multiple=True, type=int, help="Symbols an image, repeatable. [default: all]")
@click.option(
    "--probe",
    nargs=2,
    metavar="TRAIN TEST",
    help="Also fit a linear classifier on what arrives of TRAIN and count its right answers on TEST: labelled image "
    "sets of a task that CODEC was not trained for, such as cifar100-coarse:train cifar100-coarse:test, or classes "
    "that it never saw: cifar10:train{1,3,5,9} cifar10:test{1,3,5,9}. All that a CODEC without embedding can do.",
)
@click.option("--figure", type=click.Path(path_type=Path, dir_okay=False), help="Write a PNG of all of it.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda.")
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=1, show_default=True, help="Seed of the noise.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout, and nothing else there.")
def embedding(codec, channels, snr_db, budgets, probe, figure, device, seed, as_json):
    """Measure the embedding that CODEC's receiver rebuilds (a name in models/zoo, or a folder).

    Every test image is sent once at every SNR, budget and channel. Measured: the cosine to the teacher's embedding, the
    share of the 10 nearest images that a search with the rebuilt embedding finds (recall@10), and the share of those
    found that have the right class. Beside each, the same for a receiver that knows nothing but the class it decided.

    \b
    Examples:
      gr-semantic embedding my-codec --figure embedding.png
      gr-semantic embedding my-codec --snr-db 0 --snr-db 10 --probe 'cifar10:train{1,3,5,9}' 'cifar10:test{1,3,5,9}'
    """
    from gr_semantic.errors import UserError
    from gr_semantic.paths import codec_folder
    from semantic_models import SemanticCodec, load_images
    from semantic_models.codec_folder import read_codec, write_bytes
    from semantic_models.distill import make_writable
    from semantic_models.embedding_evaluation import evaluate_embedding, evaluate_probe
    from semantic_models.embedding_figure import embedding_figure
    from semantic_models.embedding_reference import read_reference
    from semantic_models.evaluate import TABLE_SNR_DB

    if figure:
        make_writable(figure.parent)
    folder = codec_folder(codec)
    config = read_codec(folder)[0]
    loaded = SemanticCodec.load(folder, device)
    settings = {
        "snr_db": snr_db or TABLE_SNR_DB,
        "channels": channels or ("awgn",),
        "seed": seed,
        "budgets": budgets or None,
    }
    result = {}
    if loaded.embedding or not probe:
        reference = read_reference(folder, config)
        images = load_images(config.origin["test_data"], like=loaded)
        if images.content_hash != config.origin["test_sha256"]:
            raise UserError(f"image set {images.name}: not the images that {folder} was measured on")
        result = evaluate_embedding(loaded, images, reference, **settings)
    if probe:
        train, test = (load_images(name, like=loaded) for name in probe)
        result["probe"] = evaluate_probe(loaded, train, test, **settings)
    if figure:
        write_bytes(figure, embedding_figure(result))
    click.echo(json.dumps(result, indent=2) if as_json else report(result))


def report(result: dict) -> str:
    """The evaluation as text for a person."""
    from semantic_models.embedding_evaluation import embedding_table, probe_table

    lines = []
    if "points" in result:
        perfect = result["perfect"]
        lines += [
            embedding_table(result),
            "",
            f"recall@10 in per cent: of a query's 10 nearest images by the teacher's whole features, the share found "
            f"among {result['gallery']:,} of {result['images']} ({result['queries']:,} queries); "
            f"the teacher's own {result['embedding']} numbers find {100 * perfect['recall_at_10']:.1f}",
        ]
    if "probe" in result:
        probe = result["probe"]
        lines += [
            *([""] if lines else []),
            probe_table(probe),
            "",
            f"accuracy in per cent of linear probes, {len(probe['classes'])} classes, fitted on what arrives of "
            f"{probe['train']}, counted on {probe['test']}",
        ]
    return "\n".join(lines)
