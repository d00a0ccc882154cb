# SPDX-License-Identifier: GPL-3.0-or-later
"""A sweep file: grids of values, checked, and the points that they make."""

import hashlib
import itertools
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BeforeValidator, Field

from ..channel import ChannelConfig
from ..checked_settings import CheckedModel
from ..errors import UserError
from ..modem import Waveform
from ..paths import codec_folder
from .point import Point

OFFLINE_CHANNELS = ("awgn", "rayleigh", "selective", "rician", "ofdm")
_MOST_VALUES = 10**6


def _values(value: Any) -> Any:
    """A number or name is a list of one; {from, to, step} are numbers with equal distances, `to` among them."""
    if isinstance(value, dict):
        if set(value) != {"from", "to", "step"} or not all(type(part) in (int, float) for part in value.values()):
            raise ValueError("is a mapping: expected {from: LOW, to: HIGH, step: STEP}, numbers")
        if not value["step"] > 0 or not value["from"] <= value["to"]:
            raise ValueError("expected from <= to and step above 0")
        count = int((value["to"] - value["from"]) / value["step"] + 1e-9) + 1
        if count > _MOST_VALUES:
            raise ValueError(f"has {count} values, at most {_MOST_VALUES} are possible")
        return [value["from"] + index * value["step"] for index in range(count)]
    return value if isinstance(value, list) else [value]


Levels = Annotated[tuple[Annotated[float, Field(ge=-60, le=80)], ...], BeforeValidator(_values), Field(min_length=1)]
Counts = Annotated[tuple[Annotated[int, Field(ge=1)], ...], BeforeValidator(_values), Field(min_length=1)]
Seeds = Annotated[tuple[Annotated[int, Field(ge=0, lt=2**31)], ...], BeforeValidator(_values), Field(min_length=1)]
Names = Annotated[tuple[str, ...], BeforeValidator(_values), Field(min_length=1)]


class Grid(CheckedModel):
    """All combinations of the values in its lists.

    codec: zoo names or folders. snr_db, budget (None: all of the codec's), seed. images: what load_images reads.
    waveform: names or YAML files; None: the codec by itself, every image's symbols over a formula. channel: with a
    waveform a mapping of names to fields of ChannelConfig, without one a list out of OFFLINE_CHANNELS.
    images_per_frame, gap, sample_rate_hz: as in `gr-semantic modulate`.
    """

    codec: Names = ("fashion-mnist",)
    waveform: Names | None = None
    channel: Any = None
    snr_db: Levels
    budget: Counts | None = None
    seed: Seeds = (1,)
    images: str = "fashion-mnist:test"
    images_per_frame: int = Field(48, ge=1, le=256)
    gap: int = Field(1000, ge=0, le=10**9)
    sample_rate_hz: float = Field(1e6, ge=1, le=1e12)

    @property
    def channels(self) -> dict[str, dict]:
        """Name and settings of each channel, checked. UserError if one is wrong."""
        if self.waveform is None:
            names = _values(self.channel or "awgn")
            unknown = [name for name in names if name not in OFFLINE_CHANNELS]
            if unknown:
                raise UserError(f"channel '{unknown[0]}': without a waveform use {', '.join(OFFLINE_CHANNELS)}")
            return {name: {"kind": name} for name in names}
        channels = {"awgn": {}} if self.channel is None else self.channel
        if not isinstance(channels, dict) or not channels:
            raise UserError("channel: with a waveform it is a mapping of names to fields, such as 'awgn: {}'")
        return {str(name): self._checked(name, {} if fields is None else fields) for name, fields in channels.items()}

    def _checked(self, name, fields) -> dict:
        if isinstance(fields, dict) and "snr_db" in fields:
            raise UserError(f"channel '{name}': its snr_db is set by the grid's snr_db")
        try:
            config = ChannelConfig.from_dict(fields)
            config.build(self.sample_rate_hz)
        except UserError as error:
            raise UserError(f"channel '{name}': {error}") from None
        settings = config.to_dict()
        if config.interferer_file is not None:
            settings["interferer_sha256"] = hashlib.sha256(Path(config.interferer_file).read_bytes()).hexdigest()
        return settings


class Sweep:
    """A sweep file that has been read. name: of the file; document: its content as plain data; grids: list of Grid.

    Raises:
        UserError: the file cannot be read, or something in it is wrong; the text names file, grid and field.
    """

    def __init__(self, path: Path):
        self.name = Path(path).stem
        try:
            document = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from None
        except yaml.YAMLError as error:
            raise UserError(f"{path}: is not YAML ({' '.join(str(error).split())})") from None
        if not isinstance(document, dict) or not isinstance(document.get("grids"), list) or not document["grids"]:
            raise UserError(f"{path}: expected 'grids', a list of at least one grid (see docs/scale.md)")
        common = {name: value for name, value in document.items() if name != "grids"}
        self.document, self.grids, self._path = document, [], path
        for number, fields in enumerate(document["grids"], 1):
            if not isinstance(fields, dict):
                raise UserError(f"{path}: grid {number}: expected a mapping of fields to values")
            try:
                self.grids.append(Grid(**{**common, **fields}))
            except (UserError, TypeError) as error:
                raise UserError(f"{path}: grid {number}: {error}") from None

    def points(self) -> list[Point]:
        """All points, each once, those of one transmission side by side.

        Raises:
            UserError, CodecError: a codec, waveform, channel or image set is wrong, or they do not fit together.
        """
        points = {}
        for number, grid in enumerate(self.grids, 1):
            try:
                for point in _points(grid):
                    points.setdefault(point.key, point)
            except UserError as error:
                raise UserError(f"{self._path}: grid {number}: {error}") from None
        return list(points.values())


def _points(grid: Grid):
    from semantic_models import SemanticCodec, load_images

    channels = grid.channels
    for name in grid.codec:
        codec = SemanticCodec.load(codec_folder(name), "cpu")
        images = load_images(grid.images, like=codec)
        if images.labels is None:
            raise UserError(f"images {grid.images}: have no labels, nothing can be counted")
        budgets = grid.budget or codec.budgets
        for budget in budgets:
            codec.reference_accuracy(0.0, budget)  # refuses an unknown one
        common = {"codec": name, "model_id": codec.model_id}
        common |= {"images": grid.images, "images_sha256": images.content_hash}
        for waveform in grid.waveform or [None]:
            radio = {} if waveform is None else _frames(grid, waveform, max(budgets))
            for snr_db, budget, channel, seed in itertools.product(grid.snr_db, budgets, channels, grid.seed):
                yield Point(
                    **common,
                    **radio,
                    channel=channel,
                    channel_settings=channels[channel],
                    snr_db=snr_db + 0.0,  # not -0
                    budget=budget,
                    seed=seed,
                )


def _frames(grid: Grid, waveform: str, budget: int) -> dict:
    wf = Waveform.load(waveform)
    fits = wf.max_payload_symbols * wf.data_count // budget
    if grid.images_per_frame > fits:
        raise UserError(
            f"images_per_frame is {grid.images_per_frame}: at most {fits} images of {budget} symbols fit into a frame "
            f"of {wf.name}"
        )
    return {
        "waveform": waveform,
        "waveform_digest": wf.digest,
        "images_per_frame": grid.images_per_frame,
        "gap": grid.gap,
        "sample_rate_hz": grid.sample_rate_hz,
    }
