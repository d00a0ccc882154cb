# SPDX-License-Identifier: GPL-3.0-or-later
"""``gr-semantic evaluate``: what a codec reaches over SNR, budget and channel, what it costs, how far the limit is."""

import json
from pathlib import Path

import click

CHANNELS = ("awgn", "rayleigh", "rician", "selective", "ofdm")


@click.command()
@click.argument("codec")
@click.option("--images", help="Labelled image set. [default: the codec's test set]")
@click.option("--channel", "channels", multiple=True, type=click.Choice(CHANNELS), help="Repeatable. [default: awgn]")
@click.option("--snr-db", multiple=True, type=float, help="Repeatable. [default: -10 to 24 dB in steps of 2]")
@click.option("--budget", "budgets", multiple=True, type=int, help="Symbols an image, repeatable. [default: all]")
@click.option("--report-error-db", default=0.0, show_default=True, help="Tell the encoder an SNR wrong by this much.")
@click.option("--limit", is_flag=True, help="Add the limit of any code, and the distance to it.")
@click.option("--stored", is_flag=True, help="Take the accuracies from codec.toml instead of measuring them.")
@click.option("--figure", type=click.Path(path_type=Path, dir_okay=False), help="Write a PNG of accuracies and limits.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda.")
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=1, show_default=True, help="Seed of the noise.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout, and nothing else there.")
def evaluate(codec, images, channels, snr_db, budgets, report_error_db, limit, stored, figure, device, seed, as_json):
    """Measure CODEC (a name in models/zoo, or a folder) without the radio.

    Every image is sent once at every SNR, budget and channel. Also counted: parameters and multiply-accumulates of
    both ends, the time that encode and decode take on one thread, and whether a batch of one gives the same bits.

    \b
    Examples:
      gr-semantic evaluate fashion-mnist
      gr-semantic evaluate fashion-mnist --stored --limit --figure accuracy.png
      gr-semantic evaluate fashion-mnist --channel rayleigh --snr-db 0 --snr-db 10 --budget 8 --json
    """
    from gr_semantic.errors import UserError
    from gr_semantic.paths import codec_folder
    from semantic_models import SemanticCodec, load_images
    from semantic_models.codec_folder import read_codec, write_bytes
    from semantic_models.distill import make_writable
    from semantic_models.evaluate import TABLE_SNR_DB, evaluate_codec, stored_result
    from semantic_models.figure import accuracy_figure
    from semantic_models.latency import batch_agreement, measure_latency
    from semantic_models.limit import add_limits

    if stored and (images or channels or snr_db or budgets or report_error_db):
        raise UserError("--stored shows the table in codec.toml: leave out the options that say what to measure")
    if figure:
        make_writable(figure.parent)
    folder = codec_folder(codec)
    config = read_codec(folder)[0]
    loaded = SemanticCodec.load(folder, device)
    if stored:
        result = stored_result(loaded, config)
    else:
        image_set = load_images(images or config.origin.get("test_data", "fashion-mnist:test"), like=loaded)
        result = evaluate_codec(
            loaded,
            image_set,
            snr_db or TABLE_SNR_DB,
            channels or ("awgn",),
            seed=seed,
            budgets=budgets or None,
            report_error_db=report_error_db,
        )
        result |= {"report_error_db": report_error_db}
        result |= {"batch": batch_agreement(loaded, image_set), "latency": measure_latency(loaded)}
    result |= {"store_bytes": config.origin.get("store_bytes")}
    if figure:
        write_bytes(figure, accuracy_figure(result, len(loaded.classes)))
    if limit:
        result = add_limits(result, len(loaded.classes))
    click.echo(json.dumps(result, indent=2) if as_json else report(result))


def report(result: dict) -> str:
    """An evaluation as text for a person: the tables, then what the codec costs."""
    from semantic_models.evaluate import table

    count, macs = result["parameters"], result["macs"]
    lines = [
        table(result),
        "",
        f"accuracy in per cent over {result['images']}; {100 * result['clean_accuracy']:.2f} without a channel",
    ]
    if "limit" in result["points"][0]:
        below = max(point["below_limit_points"] for point in result["points"])
        lines.append(
            f"of: the limit, clean accuracy x simplex signals of the same energy; at most {below:.1f} points below"
        )
    lines += [
        f"parameters  edge {count['edge']:,}, receiver {count['receiver']:,}, both {count['total']:,}",
        f"MACs        edge {macs['edge']:,}, receiver {macs['receiver']:,}, both {macs['total']:,}",
    ]
    if "latency" in result:
        latency, batch = result["latency"], result["batch"]
        for name in ("encode", "decode"):
            times = ", ".join(f"{ms:.2f} ms at batch {size}" for size, ms in latency[f"{name}_ms"].items())
            lines.append(f"{name}      {times} ({latency['device']}, one thread)")
        same = "the same bits" if batch["symbols_equal"] and batch["logits_equal"] else "OTHER BITS"
        lines.append(
            f"batch 1     {same} as batch {batch['images']}; accuracy {100 * batch['accuracy_batch_1']:.2f} and "
            f"{100 * batch['accuracy_batch_n']:.2f} ({batch['budget']} symbols, {batch['snr_db']:g} dB)"
        )
    return "\n".join(lines)
