# SPDX-License-Identifier: GPL-3.0-or-later
"""``gr-semantic pareto``: codecs beside each other by effort at the edge, symbols and accuracy."""

import json
from pathlib import Path

import click


@click.command()
@click.argument("codecs", nargs=-1, required=True)
@click.option("--snr-db", multiple=True, type=float, help="Repeatable, one panel each. [default: 10]")
@click.option("--figure", type=click.Path(path_type=Path, dir_okay=False), help="Write a PNG.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list of rows on stdout, and nothing else there.")
def pareto(codecs, snr_db, figure, as_json):
    """Compare CODECS (names in models/zoo, or folders): MACs at each end, parameters, symbols, accuracy.

    Accuracies are those of each codec's table (AWGN), nothing is sent. Marked is the Pareto front: rows that no other
    row beats in edge MACs, symbols and accuracy.

    \b
    Example:
      gr-semantic pareto edge-2 edge-10 edge-40 --snr-db 0 --snr-db 10 --figure pareto.png
    """
    from gr_semantic.errors import UserError
    from gr_semantic.paths import codec_folder
    from semantic_models import SemanticCodec
    from semantic_models.codec_folder import write_bytes
    from semantic_models.distill import make_writable
    from semantic_models.pareto import pareto_figure, pareto_rows, pareto_table

    if figure:
        make_writable(figure.parent)
    loaded = [SemanticCodec.load(codec_folder(codec), "cpu") for codec in codecs]
    if len({(codec.classes, codec.image_shape) for codec in loaded}) > 1:
        raise UserError("codecs of different classes or image shapes cannot be compared: give those of one data set")
    rows = [row for level in snr_db or (10.0,) for row in pareto_rows(loaded, level)]
    if figure:
        write_bytes(figure, pareto_figure(rows))
    click.echo(json.dumps(rows, indent=2) if as_json else pareto_table(rows))
