# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes the captures of this folder, each from its story and its seed: the same files every time.

    python tests/captures/make_captures.py            writes them all
    python tests/captures/make_captures.py clean      writes one
    python tests/captures/make_captures.py --check    makes them elsewhere and compares, bit for bit

A capture is one entry of CAPTURES. What happens between the transmitter and the file is its `air`: a function of the
sent samples; another source of air (radios, say) is another such function. "interference" needs GR_SEMANTIC_DATA.

An annotation holds what is true of the frame (images, labels, true_snr_db, true_cfo_hz, true_sro_ppm) and what the
receiver made of it when the capture was made (measured_snr_db, cfo_hz, sro_ppm, evm_db, predictions). After an intended
change of the receiver: make them again, and look at what has changed before you commit it.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

import numpy as np

from gr_semantic.channel import ChannelConfig
from gr_semantic.characterize.interference import read_recording, recordings
from gr_semantic.modem import Header, Waveform, modulate
from gr_semantic.paths import ZOO
from gr_semantic.recording.decoders import Decoder
from gr_semantic.recording.frame_truth import FrameTruth
from gr_semantic.recording.namespace import field as own_field
from gr_semantic.recording.replay_recording import replay
from gr_semantic.recording.sigmf_file import Recording, RecordingWriter
from gr_semantic.virtual_pluto import air as virtual_air
from gr_semantic.virtual_pluto.config import VirtualPlutosConfig
from gr_semantic.virtual_pluto.data_devices import RX_ID, TX_ID
from gr_semantic.virtual_pluto.pluto import Pluto

FOLDER = Path(__file__).parent
IMAGES = "fashion-mnist:test[0:512]"
CODEC = "fashion-mnist"
LINK_ID = 7


@dataclass(frozen=True)
class Air:
    """What was received, complex64. judged: without what a receiver takes out (carrier leakage, a spur); clean: the
    signal alone. delay, stretch: sent sample n lies at (n + delay) * stretch. cfo_hz: of the carrier.
    """

    received: np.ndarray
    judged: np.ndarray
    clean: np.ndarray
    delay: float
    stretch: float
    cfo_hz: float
    channel: dict


@dataclass(frozen=True)
class Capture:
    """One capture. frames: (budget, images) of data frames, or (None, reported SNR) of feedback frames.

    encoded_db: SNR that the images are encoded for. gaps: zeros before, between and after the frames, in turn.
    full_scale: amplitude of int16's largest value; what lies above is clipped. cut: (first, count) of samples that are
    missing, each a gap between two captures. until: samples that are kept.
    """

    story: str
    air: Callable
    frames: list[tuple]
    seed: int
    waveform: str = "ofdm64"
    sample_rate_hz: float = 1e6
    encoded_db: float = 10.0
    gaps: tuple[int, ...] = (700, 0, 333, 1200)
    full_scale: float = 16.0
    cut: list[tuple[int, int]] = field(default_factory=list)
    until: int | None = None
    sources: tuple[dict, ...] = ()


def simulated(snr_db, **fields):
    """Air of the simulated channel."""

    def air(samples, rate_hz, seed):
        config = ChannelConfig(snr_db=snr_db, **fields)
        sent = np.concatenate([samples, np.zeros(400, np.complex64)])

        def heard(*without):
            left = {key: value for key, value in config.to_dict().items() if key not in without}
            return ChannelConfig.from_dict(left).build(rate_hz, seed).process(sent)

        spurs = ("interferer_db", "interferer_hz", "dc_offset_db")
        delay = config.build(rate_hz, seed).latency_samples + config.delay_samples
        return Air(
            received=heard(),
            judged=heard(*spurs),
            clean=heard(*spurs, "snr_db", "iq_gain_db", "iq_phase_deg"),
            delay=delay,
            stretch=1 + config.sro_ppm * 1e-6,
            cfo_hz=config.cfo_hz,
            channel={"config": config.to_dict()},
        )

    return air


def among_wifi(snr_db, below_db, name, **fields):
    """The simulated channel with an 802.11 recording on top, looped, through the receiver's filter. Its packets lie
    `below_db` below our signal, with all of their bandwidth.
    """
    channel = simulated(snr_db, **fields)

    def air(samples, rate_hz, seed):
        quiet = channel(samples, rate_hz, seed)
        path = next((path for path in recordings() if path.name == name), None)
        if path is None:
            raise SystemExit(f"GR_SEMANTIC_DATA names no folder with iq/wifi_80211/{name}")
        interferer = read_recording(path, 1, round(_WIFI_RATE_HZ / rate_hz))
        index = np.arange(len(quiet.received)) % len(interferer)
        received = quiet.received + interferer[index] * np.float32(10 ** (-below_db / 20))
        noted = {**quiet.channel, "interferer": name, "below_db": below_db}
        return replace(quiet, received=received, judged=received, channel=noted)

    return air


def virtual_plutos(path_gain_db, ppm, **path):
    """Two virtual Plutos, stepped by hand: radio 0 sends 14 dB below full scale at 34 dB of attenuation, radio 1 hears.

    The same levels 40 dB further above the noise give what is clean; its delay against the sent samples is measured.
    """
    lo_hz, backoff_db, attenuation_db, gain_db, louder_db = 2_400_000_000, 14.0, 34.0, 71.0, 40.0

    def heard(samples, rate_hz, seed, more_db):
        radios = [{"ppm": error} for error in ppm]
        default = {"gain_db": path_gain_db + more_db, **path}
        config = VirtualPlutosConfig(radios=radios, default_path=default, seed=seed)
        air, plutos = virtual_air.Air(config), [Pluto(radio, str(n)) for n, radio in enumerate(config.radios)]
        for place, pluto in enumerate(plutos):
            state = pluto.transceiver
            state.rate_hz, state.rx_lo_hz, state.tx_lo_hz = int(rate_hz), lo_hz, lo_hz
            state.gain_mode, state.rx_gain_db, state.tx_gain_db = "manual", gain_db - more_db, -attenuation_db
            state.version += 1
            air.plug(place, pluto)
        values = np.rint(samples.view(np.float32) * (32767 * 10 ** (-backoff_db / 20))).astype("<i2")
        sender = plutos[0].open_buffer(plutos[0].device(TX_ID), len(samples), 3, True)
        sender.write(values.tobytes(), 0, lambda: False)
        receiver = plutos[1].open_buffer(plutos[1].device(RX_ID), 256, 3, False)
        data = b""
        while len(data) < 4 * len(samples):
            air.step(5e-3)
            data += b"".join(receiver.read(1024, 0, lambda: False) for _ in range(receiver.waiting_bytes // 1024))
        return np.frombuffer(data, "<i2").astype(np.float32).view(np.complex64)[: len(samples)] / np.float32(2048)

    def air(samples, rate_hz, seed):
        received, clean = heard(samples, rate_hz, seed, 0.0), heard(samples, rate_hz, seed, louder_db)
        cfo_hz = lo_hz * (ppm[0] - ppm[1]) * 1e-6
        turned = clean * np.exp(-2j * np.pi * cfo_hz / rate_hz * np.arange(len(clean)))
        delay = int(np.abs(np.correlate(turned[:4000], samples[:3000].astype(complex), "valid")).argmax())
        noted = {"virtual_plutos": {"ppm": list(ppm), "gain_db": path_gain_db, **path}, "lo_hz": lo_hz}
        return Air(received, received, clean, delay, 1 + (ppm[1] - ppm[0]) * 1e-6, cfo_hz, noted)

    return air


WIFI = "conducted_dot11a_24mbps_qos_data_e4_90_7e_15_2a_16_e8_de_27_90_6e_42.dat"
WIFI_SOURCE = {
    "name": "802.11a recording (USRP N210, 20 Msps) of the project openofdm, testing_inputs: " + WIFI,
    "url": "https://github.com/jhshi/openofdm",
    "license": "Apache-2.0",
}
_WIFI_RATE_HZ = 20e6

CAPTURES = {
    "clean": Capture(
        "Each budget of the codec at 22 dB, a carrier 868 Hz off, some frames back to back: nothing here may be hard.",
        simulated(22.0, cfo_hz=868.0, sro_ppm=1.0),
        [(4, 48), (8, 24), (16, 12), (32, 6), (4, 1), (8, 48), (16, 24), (32, 12)],
        seed=1,
    ),
    "clean_ofdm256": Capture(
        "The long symbols at 18 dB, with clocks 5 ppm apart.",
        simulated(18.0, cfo_hz=-1500.0, sro_ppm=-5.0),
        [(4, 48), (8, 48), (16, 48), (32, 24), (4, 96), (8, 12)],
        seed=2,
        waveform="ofdm256",
    ),
    "low_snr": Capture(
        "-5 dB, the largest budget: the edge of what preamble and header carry.",
        simulated(-5.0, cfo_hz=300.0),
        [(32, 16)] * 8,
        seed=3,
        encoded_db=-5.0,
    ),
    "large_offset": Capture(
        "A carrier 81 kHz off, 5.2 carrier spacings, and a clock 35 ppm fast, in long frames.",
        simulated(15.0, cfo_hz=81_000.0, sro_ppm=35.0),
        [(16, 256), (8, 48), (32, 170), (4, 48)],
        seed=4,
    ),
    "multipath": Capture(
        "TDL-C with 2 us of delay spread at 1 Msps: deep notches, echoes up to half the cyclic prefix.",
        simulated(16.0, multipath="tdl-c:2000ns", unit_power=True, cfo_hz=2000.0, sro_ppm=3.0),
        [(8, 48), (16, 48), (4, 48), (32, 24), (8, 24), (16, 12)],
        seed=5,
    ),
    "fading": Capture(
        "A Rayleigh path with 20 Hz of Doppler: the channel turns within each long frame.",
        simulated(20.0, multipath="rayleigh", fading="doppler", doppler_hz=20.0, cfo_hz=500.0),
        [(32, 64), (16, 96), (32, 96), (8, 96), (16, 128)],
        seed=6,
    ),
    "interference": Capture(
        "At 5 Msps in the middle of an 802.11a network's channel; its packets come 4 dB below our signal.",
        among_wifi(25.0, 4.0, WIFI, cfo_hz=5_000.0),
        [(8, 48), (16, 24), (32, 24), (4, 48), (16, 48), (8, 48)],
        seed=7,
        sample_rate_hz=5e6,
        sources=(WIFI_SOURCE,),
    ),
    "clipped": Capture(
        "A receiver with 9 dB too much gain: int16 ends at 1.1 times the signal's mean amplitude.",
        simulated(25.0, cfo_hz=868.0),
        [(8, 48), (16, 24), (32, 12), (4, 48), (16, 48)],
        seed=8,
        full_scale=1.1,
    ),
    "truncated": Capture(
        "Samples missing within frame 3 and between frames 4 and 5, and the end within frame 7: three captures.",
        simulated(18.0, cfo_hz=-600.0),
        [(8, 24)] * 8,
        seed=9,
        gaps=(600,),
        cut=[(9600, 1500), (13_500, 400)],
        until=20_500,
    ),
    "feedback": Capture(
        "Node B's reports, headers alone, at 2 dB, among data frames of another node.",
        simulated(2.0, cfo_hz=-868.0, sro_ppm=-1.0),
        [(None, 10.0), (None, -4.25), (32, 8), (None, 23.5), (None, 0.0), (None, -16.0), (None, 47.75), (32, 8)],
        seed=10,
    ),
    "front_end": Capture(
        "A poor receiver: carrier leakage 6 dB below the signal, IQ imbalance, a spur as strong as the signal.",
        simulated(
            20.0,
            cfo_hz=1200.0,
            dc_offset_db=-6.0,
            iq_gain_db=0.3,
            iq_phase_deg=1.5,
            interferer_db=0.0,
            interferer_hz=125e3,
        ),
        [(8, 48), (16, 48), (32, 24), (4, 96), (8, 24)],
        seed=11,
    ),
    "virtual_plutos": Capture(
        "Two virtual Plutos, crystals 5 ppm apart, TDL-A 100 ns between them, 12 bits of which the signal takes few.",
        virtual_plutos(-53.0, (2.0, -3.0), multipath="tdl-a:100ns", unit_power=True),
        [(8, 48), (16, 48), (32, 24), (8, 24), (4, 48), (16, 128)],
        seed=13,
        full_scale=1.0,
    ),
    "noise": Capture("Noise alone: no frame may be found.", simulated(0.0), [], seed=12, gaps=(40_000,)),
}


@cache
def codec():
    import torch

    from semantic_models import SemanticCodec

    torch.set_num_threads(1)
    return SemanticCodec.load(ZOO / CODEC, device="cpu")


@cache
def images():
    from semantic_models import load_images

    return load_images(IMAGES, like=codec())


def sent_frames(capture: Capture):
    """Header, samples and truth of each frame, in order."""
    wf, first = Waveform.load(capture.waveform), 0
    for number, (budget, value) in enumerate(capture.frames):
        if budget is None:
            header = Header("feedback", LINK_ID, number, value, acked_sequence=1000 + number, received=number, lost=1)
            yield header, modulate(wf, header), {}
            continue
        chosen = (first + np.arange(value)) % len(images())
        first += value
        header = Header("data", LINK_ID, number, capture.encoded_db, codec().model_id16, budget, value)
        symbols = codec().encode(images().images[chosen], header.snr_db, budget)
        truth = {"images": chosen.tolist(), "labels": images().labels[chosen].tolist()}
        yield header, modulate(wf, header, symbols), truth


def true_snr_db(wf: Waveform, capture: Capture, air: Air, start: int, count: int) -> float:
    """Signal over everything else on the data carriers, as it came out in this frame; the signal for unit symbols.

    The signal is what the channel alone would have given, times the factor that fits the received samples best.
    """
    place = slice(start, start + count)
    turn = np.exp(-2j * np.pi * air.cfo_hz / capture.sample_rate_hz * np.arange(place.start, place.stop))

    def cells(samples):
        symbols = (samples[place] * turn).reshape(-1, wf.symbol_len)[:, wf.cp_len - wf.window_backoff :][
            :, : wf.fft_len
        ]
        return np.fft.fft(symbols, axis=1, norm="ortho")[:, wf.bins[wf.data_index]]

    signal, total = cells(air.clean), cells(clipped(capture, air.judged))
    factor = np.vdot(signal, total) / np.vdot(signal, signal)
    rest = total - factor * signal
    unit = signal[wf.preamble_symbols :]  # the preamble is boosted
    return float(10 * np.log10(np.mean(np.abs(factor * unit) ** 2) / np.mean(np.abs(rest) ** 2)))


def clipped(capture: Capture, samples: np.ndarray) -> np.ndarray:
    """What int16 leaves of the samples."""
    return np.clip(samples.view(np.float32), -capture.full_scale, capture.full_scale).view(np.complex64)


def make(name: str, folder: Path) -> Path:
    """Write one capture; returns the path of its metadata."""
    capture = CAPTURES[name]
    wf = Waveform.load(capture.waveform)
    pieces, frames, position = [np.zeros(capture.gaps[0], np.complex64)], [], capture.gaps[0]
    for number, (header, samples, truth) in enumerate(sent_frames(capture)):
        frames.append((header, position, len(samples), truth))
        gap = capture.gaps[(number + 1) % len(capture.gaps)]
        pieces += [samples, np.zeros(gap, np.complex64)]
        position += len(samples) + gap
    air = capture.air(np.concatenate(pieces), capture.sample_rate_hz, capture.seed)
    annotations = []
    for header, position, count, truth in frames:
        start = round((position + air.delay) * air.stretch)
        kept, new_start = _after_cuts(capture, start, count)
        if not kept:
            continue
        shared = {key: getattr(header, key) for key in ("sequence", "budget", "image_count", "snr_db", "kind")}
        annotation = FrameTruth(new_start, count, **shared, **truth).to_annotation()
        annotation[own_field("true_snr_db")] = round(true_snr_db(wf, capture, air, start, count), 2)
        annotation[own_field("true_cfo_hz")] = air.cfo_hz
        annotation[own_field("true_sro_ppm")] = round(1e6 * (air.stretch - 1), 6)
        if header.kind == "feedback":
            report = {key: getattr(header, key) for key in ("acked_sequence", "received", "lost")}
            annotation |= {own_field(key): value for key, value in report.items()}
        annotations.append(annotation)

    until = len(air.received) if capture.until is None else capture.until
    parts, captures, first, kept = [], [], 0, 0
    for cut, count in [*capture.cut, (until, 0)]:
        captures.append({"core:sample_start": kept, "core:global_index": first, own_field("channel"): "simulated"})
        parts.append(air.received[first:cut])
        kept += cut - first
        first = cut + count
    own = {
        "waveform": wf.model_dump(),
        "waveform_rate_hz": capture.sample_rate_hz,
        "codec": CODEC,
        "model_id": codec().model_id,
        "images": IMAGES,
        "images_sha256": images().content_hash,
        "link_id": LINK_ID,
        "seed": capture.seed,
        "story": capture.story,
        "channels": [{**air.channel, "seed": capture.seed}],
    }
    if capture.sources:
        own["sources"] = list(capture.sources)
    core = {"description": capture.story, "recorder": "gr-semantic tests/captures/make_captures.py"}
    core["license"] = "https://spdx.org/licenses/" + ("Apache-2.0" if capture.sources else "GPL-3.0-or-later")
    path = folder / f"{name}.sigmf-meta"
    _write(path, capture, np.concatenate(parts), own, annotations, captures, core)
    with Recording(path) as recording:
        result = replay(recording, wf, capture.sample_rate_hz, Decoder(CODEC, codec()))
    rows = {row["sequence"]: row for row in result.frames}
    for annotation in annotations:
        row = rows.get(annotation[own_field("sequence")])
        if row is not None:
            found = {"measured_snr_db": row["snr_db"], **{key: row[key] for key in ("cfo_hz", "sro_ppm", "evm_db")}}
            found |= {} if row["predictions"] is None else {"predictions": row["predictions"]}
            annotation |= {own_field(key): value for key, value in found.items()}
    _write(path, capture, np.concatenate(parts), own, annotations, captures, core)
    return path


def _write(path, capture, samples, own, annotations, captures, core):
    with RecordingWriter(path, "ci16_le", capture.full_scale) as writer:
        writer.write(samples)
        writer.finish(capture.sample_rate_hz, own, annotations, captures, core)


def _after_cuts(capture, start, count):
    """Whether the whole frame is left, and where it begins then."""
    end, shift = start + count, 0
    for cut, missing in capture.cut:
        if start < cut + missing and end > cut:
            return False, start
        shift += missing if start >= cut + missing else 0
    return capture.until is None or end <= capture.until, start - shift


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", choices=[*CAPTURES, []], help="captures (default: all)")
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    arguments = parser.parse_args()
    different = 0
    with tempfile.TemporaryDirectory() as scratch:
        for name in arguments.names or CAPTURES:
            made = make(name, Path(scratch) if arguments.check else FOLDER)
            files = [path.name for path in (made, made.with_suffix(".sigmf-data"))]
            same = all((made.parent / file).read_bytes() == (FOLDER / file).read_bytes() for file in files)
            different += not same
            size = sum((made.parent / file).stat().st_size for file in files)
            print(f"{name:16} {size / 1e3:7.1f} kB  {'as it is here' if same else 'DIFFERENT'}")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
