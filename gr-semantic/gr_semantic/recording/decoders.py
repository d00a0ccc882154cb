# SPDX-License-Identifier: GPL-3.0-or-later
"""Received symbols to classes: by the model that encoded them, or by another one over the same air."""

from dataclasses import dataclass

import numpy as np

from ..errors import UserError
from ..modem import Frame
from .frame_truth import FrameTruth
from .sigmf_file import Recording


@dataclass(frozen=True)
class Received:
    """A frame and its truth (None: not known)."""

    frame: Frame
    truth: FrameTruth | None


class Decoder:
    """Decodes frames that its own model encoded. name: as the user gave it."""

    over_the_same_air = False

    def __init__(self, name: str, codec):
        self.name, self.codec = name, codec

    def takes(self, received: Received) -> bool:
        """Whether this decoder can say anything of the frame."""
        header = received.frame.header
        return header.kind == "data" and header.model_id16 == self.codec.model_id16 and self._knows(header.budget)

    def classes(self, group: list[Received]) -> np.ndarray:
        """Predicted classes (int64) of all images of frames of one budget, one after the other."""
        symbols = np.concatenate([received.frame.symbols for received in group])
        return self._classes(symbols, group)

    def _knows(self, budget):
        return budget in self.codec.budgets

    def _classes(self, symbols, group):
        noise_var = np.concatenate([received.frame.noise_var for received in group])
        return self.codec.decode(symbols, noise_var).argmax(axis=1)


class SameAirDecoder(Decoder):
    """Another model over the air of a recording that it did not encode.

    What that air did to each received value, `received - sent`, is added to the value that this model would have sent
    in its place: same image, same budget, same SNR to encode for, same noise variance. For noise and interference
    that is what would have been received; errors that grow with the signal (of the channel's estimate) are those of the
    model that sent. The images must be known, and the model that sent be there.

    Args:
        name, codec: of the other model.
        sender: codec that encoded the recording.
        images, sender_images: the recording's image set, in the shapes that the two codecs take.
    """

    over_the_same_air = True

    def __init__(self, name, codec, sender, images, sender_images):
        super().__init__(name, codec)
        self._sender, self._images, self._sender_images = sender, images, sender_images

    def takes(self, received):
        header, truth = received.frame.header, received.truth
        known = truth is not None and truth.images is not None
        return known and header.model_id16 == self._sender.model_id16 and self._knows(header.budget)

    def classes(self, group):
        index = np.concatenate([received.truth.images for received in group]).astype(int)
        if index.max() >= len(self._images):
            raise UserError(f"an annotation names image {index.max()} of {self._images.name}, which has fewer")
        headers = [received.frame.header for received in group]
        snr_db = np.repeat([header.snr_db for header in headers], [header.image_count for header in headers])
        budget = headers[0].budget
        sent = self._sender.encode(self._sender_images.images[index], snr_db, budget)
        own = self.codec.encode(self._images.images[index], snr_db, budget)
        received = np.concatenate([item.frame.symbols for item in group])
        return self._classes(own + (received - sent), group)


def decoder_of(recording: Recording, name: str | None = None, device: str = "auto") -> Decoder | None:
    """The decoder of a recording's frames.

    name: codec (zoo name or folder) to decode with, whichever encoded the frames; None: the one that the recording
    names. None is returned where there is neither.

    Raises:
        UserError, CodecError: it cannot be loaded; or it did not encode the recording, and what is needed to put it
        over the same air is missing.
    """
    stored, model_id = recording.own.get("codec"), recording.own.get("model_id")
    chosen = stored if name is None else name
    if chosen is None:
        return None
    codec = _load(chosen, device)
    if model_id in (None, codec.model_id):
        return Decoder(chosen, codec)
    if name is None:
        raise UserError(
            f"{recording.name}: was encoded by model {model_id[:12]}, codec {chosen} is {codec.model_id[:12]}: give "
            "the folder of the model that encoded it with --codec"
        )
    return _over_the_same_air(recording, name, codec, device)


def _over_the_same_air(recording, name, codec, device):
    from semantic_models import CodecError, load_images

    stored, model_id, images = (recording.own.get(key) for key in ("codec", "model_id", "images"))
    problem = f"{recording.name}: codec {name} did not encode it, and to put it over the same air "
    if stored is None or images is None:
        raise UserError(problem + "the recording would have to name the codec and the images that were sent")
    try:
        sender = _load(stored, device)
    except CodecError as error:
        raise UserError(f"{problem}the codec that did is needed: {error}") from None
    if sender.model_id != model_id:
        raise UserError(f"{problem}model {model_id[:12]} is needed; codec {stored} is {sender.model_id[:12]} now")
    sender_images = load_images(images, like=sender)
    wanted = recording.own.get("images_sha256")
    if wanted not in (None, sender_images.content_hash):
        raise UserError(f"{problem}its images are needed, but {images} holds others now")
    if not set(codec.budgets) & set(sender.budgets):
        raise UserError(f"{problem}it would have to have a budget in common: {codec.budgets} and {sender.budgets}")
    return SameAirDecoder(name, codec, sender, load_images(images, like=codec), sender_images)


def _load(name, device):
    from semantic_models import SemanticCodec

    from ..paths import codec_folder

    return SemanticCodec.load(codec_folder(name), device)
