# SPDX-License-Identifier: GPL-3.0-or-later
"""``gr-semantic modulate``: images to a recording of frames."""

import click


@click.command()
@click.option(
    "--dataset", default="fashion-mnist:test[0:256]", show_default=True, help="Named set or folder of images."
)
@click.option("--qpsk", is_flag=True, help="Send a seeded QPSK payload instead of images, to measure bit errors.")
@click.option("--snr-db", type=float, default=10.0, show_default=True, help="SNR that the images are encoded for.")
@click.option("-o", "--output", required=True, help="A .sigmf-meta file, a .sigmf archive, or - for stdout.")
@click.option("--codec", default="fashion-mnist", show_default=True, help="Codec: name in models/zoo, or a folder.")
@click.option("--waveform", default="ofdm64", show_default=True, help="Waveform: name or YAML file.")
@click.option("--budget", type=int, help="Symbols an image. [default: the rate policy's choice; --qpsk: 16]")
@click.option("--images-per-frame", type=int, default=48, show_default=True, help="Images (QPSK blocks) in a frame.")
@click.option("--gap", type=int, default=1000, show_default=True, help="Zeros before, between and after the frames.")
@click.option("--frames", type=int, help="Number of frames. [default: each image once; --qpsk: 100]")
@click.option("--seed", type=int, default=1, show_default=True, help="Seed of the QPSK payload.")
@click.option("--link-id", type=int, default=0, show_default=True, help="Link id in the headers, 0 to 255.")
@click.option(
    "--papr-limit-db", type=float, help="Limit the peaks to about this, 7 costs a floor of -30 dB. [default: no limit]"
)
@click.option("--sample-rate", type=float, default=1e6, show_default=True, help="Sample rate, Hz.")
def modulate(output, dataset, sample_rate, **settings):
    """Write frames of encoded images as a SigMF recording, with the truth in its annotations.

    \b
    Examples:
      gr-semantic modulate --dataset fashion-mnist:test[0:256] --snr-db 10 -o tx.sigmf-meta
      gr-semantic modulate --qpsk --frames 1000 -o - | gr-semantic channel - --snr-db 4 -o - | gr-semantic replay -
    """
    from ..recording.transmit_recording import TransmitConfig, write_transmission

    done = write_transmission(TransmitConfig(images=dataset, sample_rate_hz=sample_rate, **settings), output)
    payload = "QPSK blocks" if settings["qpsk"] else "images"
    click.echo(
        f"{done['frames']} frames, {done['images']} {payload} of {done['budget']} symbols, {done['samples']} samples, "
        f"PAPR {done['papr_db']:.1f} dB",
        err=True,
    )
