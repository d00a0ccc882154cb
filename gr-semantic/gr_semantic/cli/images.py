# SPDX-License-Identifier: GPL-3.0-or-later
"""``gr-semantic images``: what a set or a folder of images holds."""

import json

import click
import numpy as np


@click.command()
@click.argument("spec")
@click.option("--json", "as_json", is_flag=True, help="As JSON on stdout.")
def images(spec, as_json):
    """Say what SPEC holds: number and shape of its images, and how many there are of each class.

    SPEC is fashion-mnist, cifar10, cifar100 or cifar100-coarse with :train or :test and perhaps a range; or a folder
    with a sub-folder for each class, and after its path the shape that its images are brought to. Of a folder,
    :train, :validation and :test are some 80, 10 and 10 %.

    \b
    Examples:
      gr-semantic images fashion-mnist:test[0:256]
      gr-semantic images photos@3x32x32
      gr-semantic images photos@1x28x28:test
    """
    from semantic_models import load_images

    found = load_images(spec)
    counts = np.bincount(found.labels, minlength=len(found.classes)).tolist()
    if as_json:
        classes = dict(zip(found.classes, counts, strict=True))
        click.echo(json.dumps({"images": len(found), "shape": found.images.shape[1:], "classes": classes}))
        return
    shape = " x ".join(map(str, found.images.shape[1:]))
    click.echo(f"{len(found)} images of {shape} in {len(found.classes)} classes")
    for name, count in zip(found.classes, counts, strict=True):
        click.echo(f"{count:8d}  {name}")
