# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole comparison: what is measured once, and what the genie makes of it."""

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from semantic_models import SemanticCodec, load_images
from semantic_models.device import choose_device
from semantic_models.knowledge_store import teacher_hash
from semantic_models.teacher import teacher_logits
from semantic_models.teachers import open_teacher

from ..errors import UserError
from ..modem import Waveform
from ..paths import codec_folder
from .air import MEDIA, exchange, slot_len
from .airs import Airs
from .analog import IMAGES_A_FRAME, codec_accuracy
from .block_errors import frame_shape, word_arrivals
from .config import BaselinesConfig
from .features import feature_accuracies
from .genie import best, options, picture_content, step_content, uses_needed
from .limits import limit_accuracy, power_gains
from .modes import Mode, label_modes, message_modes
from .pictures import profiles
from .points import Point, measure_points

FIT_IMAGES = 1000  # on which the features' quantisers are fitted
LABEL_REPEATS = 8  # a label's words are short: as many times the words, so that none seems better than it is by chance
FRAMES = 250  # sent at each point to count those that are found
SHOWN_USES = (4, 8, 16, 32, 64, 128, 256, 512, 1024)
DIGITAL = ("pixels", "pixels, smaller too", "features", "label")


@dataclass(frozen=True)
class _Task:
    """What a comparison works on, opened and checked."""

    config: BaselinesConfig
    wf: Waveform
    codec: SemanticCodec
    picture_codec: SemanticCodec | None
    images: np.ndarray
    labels: np.ndarray
    content_hash: str
    teacher: object
    teacher_id: str
    airs: Airs

    @property
    def guess(self) -> float:
        return 1 / len(self.codec.classes)

    @property
    def label_bits(self) -> int:
        return math.ceil(math.log2(len(self.codec.classes)))


def compare(
    config: BaselinesConfig,
    folder: Path,
    tell: Callable[[str, int, int], None] = lambda kind, done, total: None,
) -> dict:
    """Measure what `folder`/points lacks, and put the curves together. Returns a JSON-able dict, see docs/baselines.md.

    Raises:
        UserError, CodecError: wrong input, missing codec, teacher or data; radios that lost samples.
    """
    with Airs() as airs:
        task = _open(config, airs)
        points = _plan(task)
        measured = measure_points(Path(folder) / "points", list(points.values()), tell)
    return _assemble(task, dict(zip(points, measured, strict=True)))


def _open(config: BaselinesConfig, airs: Airs) -> _Task:
    codec = SemanticCodec.load(codec_folder(config.codec), config.device)
    image_set = load_images(config.images, like=codec)
    if image_set.labels is None:
        raise UserError(f"image set {config.images}: has no labels to compare with")
    if len(image_set) < IMAGES_A_FRAME:
        raise UserError(f"image set {config.images}: {len(image_set)} images, at least {IMAGES_A_FRAME} are needed")
    picture_codec = None
    if config.picture_codec:
        picture_codec = SemanticCodec.load(codec_folder(config.picture_codec), config.device)
        if picture_codec.image_shape != codec.image_shape:
            raise UserError(f"codec {config.picture_codec}: takes images of another shape than {config.codec}")
    teacher = open_teacher(config.teacher, choose_device(config.device))
    wf = Waveform.load(config.waveform)
    content = image_set.content_hash
    images, labels = image_set.images, image_set.labels
    teacher_id = teacher_hash(teacher)
    return _Task(config, wf, codec, picture_codec, images, labels, content, teacher, teacher_id, airs)


def _plan(task: _Task) -> dict[tuple, Point]:
    """Every point under a key by which `_assemble` finds its result."""
    config, plan = task.config, {}
    facts = {"images": task.content_hash}
    plan["teacher"] = Point("teacher", facts | {"teacher": task.teacher_id}, lambda: _teacher_accuracy(task))
    plan["features"] = Point("features", facts | {"model": task.codec.model_id}, lambda: _features(task))
    for place in [(channel, snr_db) for channel in config.channels for snr_db in config.snr_db]:
        air = {"channel": place[0], "snr_db": place[1], "waveform": task.wf.digest, "seed": config.seed}
        air["medium"] = [MEDIA[place[0]].sample_rate_hz, MEDIA[place[0]].fields]
        modes = _all_modes(task)
        settings = air | {"words": config.words, "repeats": LABEL_REPEATS, "modes": [mode.name for mode in modes]}
        plan["words", *place] = Point("words", settings, lambda place=place: _words(task, *place))
        settings = air | {"frames": FRAMES, "budget": max(task.codec.budgets)}
        plan["found", *place] = Point("found", settings, lambda place=place: _found(task, *place))
        for name, codec, count in _codecs(task):
            settings = air | facts | {"model": codec.model_id, "count": count}
            plan[name, *place] = Point("codec", settings, lambda c=codec, n=count, p=place: _codec(task, c, n, *p))
    for profile in profiles(task.codec.image_shape):
        settings = facts | {"teacher": task.teacher_id, "profile": [profile.form, profile.share, profile.quality]}
        plan["profile", profile] = Point("pictures", settings, lambda profile=profile: _pictures(task, profile))
    return plan


def _all_modes(task: _Task) -> list[Mode]:
    return message_modes() + label_modes(task.label_bits)


def _codecs(task: _Task):
    yield "ours", task.codec, len(task.images)
    if task.picture_codec:
        yield "deepjscc", task.picture_codec, min(task.config.picture_codec_images, len(task.images))


def _seed(task: _Task, *place) -> int:
    """A seed of a point's own, the same in every run."""
    digest = hashlib.sha256(repr((task.config.seed, place)).encode()).digest()
    return int.from_bytes(digest[:4], "big")


def _teacher_accuracy(task: _Task) -> float:
    return float((teacher_logits(task.teacher, task.images).argmax(axis=1) == task.labels).mean())


def _features(task: _Task) -> dict:
    """Also the codec's accuracy without a channel, on these images."""
    training = task.config.images.split(":")[0] + ":train"
    try:
        fit_images = load_images(f"{training}[0:{FIT_IMAGES}]", like=task.codec).images
    except ValueError:  # a folder of images has no training part
        fit_images = task.images
    longest = max(task.codec.budgets)
    symbols = task.codec.encode(task.images, task.codec.snr_range_db[1], longest)
    clean = float((task.codec.decode(symbols, 0.0).argmax(axis=1) == task.labels).mean())
    return {"clean": clean, "rows": feature_accuracies(task.codec, fit_images, task.images, task.labels)}


def _words(task: _Task, channel: str, snr_db: float) -> list[float]:
    """Share of arriving words of each of _all_modes."""
    seed = _seed(task, "words", channel, snr_db)
    air = task.airs(channel, snr_db, seed, slot_len(task.wf, *frame_shape(task.wf)))
    modes = _all_modes(task)
    labels = label_modes(task.label_bits)
    arrived = word_arrivals(task.wf, air, modes + labels * (LABEL_REPEATS - 1), task.config.words, seed)
    counts, more = arrived[: len(modes)], np.reshape(arrived[len(modes) :], (-1, len(labels))).sum(axis=0)
    shares = dict(zip(modes, np.array(counts) / task.config.words, strict=True))
    for mode, count in zip(labels, more, strict=True):
        shares[mode] = (shares[mode] * task.config.words + int(count)) / (LABEL_REPEATS * task.config.words)
    return [float(shares[mode]) for mode in modes]


def _found(task: _Task, channel: str, snr_db: float) -> float:
    """Share of the frames of our codec's longest code whose header is read; what is in them does not matter."""
    seed, budget = _seed(task, "found", channel, snr_db), max(task.codec.budgets)
    air = task.airs(channel, snr_db, seed, slot_len(task.wf, IMAGES_A_FRAME, budget))
    turns = np.random.default_rng(seed).random((FRAMES, IMAGES_A_FRAME, budget))
    return sum(1 for _ in exchange(task.wf, air, np.exp(2j * np.pi * turns).astype(np.complex64))) / FRAMES


def _codec(task: _Task, codec, count: int, channel: str, snr_db: float) -> list[float]:
    """The accuracy of every budget. The encoder is told the average SNR."""
    code = codec.encode(task.images[:count], snr_db, max(codec.budgets))
    seed, accuracies = _seed(task, "codec", channel, snr_db), []
    for budget in codec.budgets:
        air = task.airs(channel, snr_db, seed, slot_len(task.wf, IMAGES_A_FRAME, budget))
        accuracies.append(codec_accuracy(task.wf, air, codec, code, task.labels[:count], budget, task.guess))
    return accuracies


def _pictures(task: _Task, profile) -> dict:
    """For every image: bytes, whether the teacher is right about the decoded picture, and its squared error."""
    packed = [profile.pack(image) for image in task.images]
    shown = np.stack([profile.unpack(data, task.codec.image_shape) for data in packed])
    right = teacher_logits(task.teacher, shown).argmax(axis=1) == task.labels
    error = ((shown.astype(np.float32) - task.images) ** 2).mean(axis=(1, 2, 3))
    return {
        "bytes": [len(data) for data in packed],
        "right": "".join(str(int(good)) for good in right),
        "squared_error": [round(float(value), 2) for value in error],
    }


def _assemble(task: _Task, results: dict) -> dict:
    config, codec = task.config, task.codec
    contents = _contents(task, results)
    clean = results["features"]["clean"]
    summary = {
        "codec": codec.name,
        "model_id": codec.model_id,
        "picture_codec": task.picture_codec.name if task.picture_codec else None,
        "teacher_sha256": task.teacher_id,
        "images": config.images,
        "image_count": len(task.images),
        "picture_codec_images": min(config.picture_codec_images, len(task.images)) if task.picture_codec else 0,
        "classes": len(codec.classes),
        "guess": task.guess,
        "target": config.target,
        "bar_snr_db": config.bar_snr_db,
        "words": config.words,
        "waveform": task.wf.name,
        "teacher_accuracy": results["teacher"],
        "clean_accuracy": clean,
        "features": results["features"]["rows"],
        "pictures": _picture_table(contents),
        "snr_db": list(config.snr_db),
        "uses": list(SHOWN_USES),
        "channels": {},
    }
    for channel in config.channels:
        gains = power_gains(task.wf, MEDIA[channel])
        curves = {
            name: {
                str(budget): [results[name, channel, snr_db][index] for snr_db in config.snr_db]
                for index, budget in enumerate(each.budgets)
            }
            for name, each, _ in _codecs(task)
        }
        curves["limit"] = {
            str(budget): [limit_accuracy(clean, len(codec.classes), level, budget, gains) for level in config.snr_db]
            for budget in SHOWN_USES
        }
        curves["found"] = [results["found", channel, snr_db] for snr_db in config.snr_db]
        curves |= _digital(task, results, contents, channel)
        curves["needed"] |= {
            name: [_needed(curves[name], index, config.target) for index in range(len(config.snr_db))]
            for name in ("ours", "deepjscc", "limit")
            if name in curves
        }
        summary["channels"][channel] = curves
    return summary


def _contents(task: _Task, results: dict) -> dict:
    """Accuracy of a message that arrived, as a function of its bits."""
    known = profiles(task.codec.image_shape)
    found = [results["profile", profile] for profile in known]
    sizes = np.array([entry["bytes"] for entry in found])
    right = np.array([[mark == "1" for mark in entry["right"]] for entry in found])
    errors = np.array([entry["squared_error"] for entry in found])
    families = {}
    for index, profile in enumerate(known):
        families.setdefault((profile.form, profile.share), []).append(index)
    full = [group for (_, share), group in families.items() if share == 1]
    either = [index for group in full for index in group]
    pixels = {"pixels": [*full, either], "pixels, smaller too": [*families.values(), either, range(len(known))]}
    contents = {name: picture_content(sizes, right, errors, groups, task.guess) for name, groups in pixels.items()}
    rows = results["features"]["rows"]
    contents["features"] = step_content([(row["bits"], row["accuracy"]) for row in rows], task.guess)
    contents["label"] = step_content([(task.label_bits, results["features"]["clean"])], task.guess)
    return contents


def _picture_table(contents: dict) -> list[dict]:
    """Accuracy of pictures by message bits, at round numbers of bytes."""
    rows = []
    for size in (8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 1024):
        bits = np.array([8 * size])
        names = ("pixels", "pixels, smaller too")
        rows.append({"bytes": size} | {name: float(contents[name](bits)[0]) for name in names})
    return rows


def _digital(task: _Task, results: dict, contents: dict, channel: str) -> dict:
    """The genie's curves: accuracy and mode at every number of channel uses, channel uses needed for the target.

    at_bar: for each kind of content, the channel uses that it needs at bar_snr_db, and its accuracy with as many at
    every SNR.
    """
    config, modes, together = task.config, _all_modes(task), MEDIA[channel].fades
    curves: dict = {"picks": {}, "needed": {}, "at_bar": {}}
    for name in DIGITAL:
        chosen = label_modes(task.label_bits) if name == "label" else message_modes()
        ways, accuracies = [], []
        for snr_db in config.snr_db:
            arrived = dict(zip(modes, results["words", channel, snr_db], strict=True))
            shares = [arrived[mode] for mode in chosen]
            ways.append(options(chosen, shares, together, one_word=name == "label"))
            accuracies.append(ways[-1].accuracy(contents[name], task.guess))

        def picks(uses: int, chosen=chosen, ways=ways, accuracies=accuracies):
            return [best(way, chosen, row, uses, task.guess) for way, row in zip(ways, accuracies, strict=True)]

        shown = {str(uses): picks(uses) for uses in SHOWN_USES}
        curves[name] = {uses: [pick.accuracy for pick in row] for uses, row in shown.items()}
        curves["picks"][name] = {uses: [pick.text for pick in row] for uses, row in shown.items()}
        needed = [uses_needed(way, row, config.target) for way, row in zip(ways, accuracies, strict=True)]
        curves["needed"][name] = needed
        at_bar = needed[config.snr_db.index(config.bar_snr_db)] if config.bar_snr_db in config.snr_db else None
        if at_bar is not None:
            curves["at_bar"][name] = {"uses": at_bar, "accuracy": [pick.accuracy for pick in picks(at_bar)]}
    return curves


def _needed(curve: dict[str, list[float]], index: int, target: float) -> int | None:
    """The smallest budget that reaches the target at this SNR."""
    return next((int(budget) for budget, row in curve.items() if row[index] >= target), None)
