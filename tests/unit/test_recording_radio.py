# SPDX-License-Identifier: GPL-3.0-or-later
"""Recording from a radio: the frames that are found while it runs, a radio that goes away, its end."""

from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner

from gr_semantic.cli.main import main
from gr_semantic.modem import Header, Waveform, modulate
from gr_semantic.recording.decoders import Decoder
from gr_semantic.recording.frame_finder import FrameFinder
from gr_semantic.recording.live_recording import LiveRecording
from gr_semantic.recording.radio_recording import record_radio
from gr_semantic.recording.replay_recording import replay, waveform_of
from gr_semantic.recording.sigmf_file import Recording, RecordingWriter

WF = Waveform.load("ofdm64")


@pytest.fixture(scope="module")
def air(zoo_codec):
    """Three data frames and a feedback frame of a radio's amplitude, 12 bits."""
    from semantic_models import load_images

    images, pieces = load_images("synthetic:60"), [np.zeros(800, np.complex64)]
    for sequence in range(3):
        header = Header("data", 1, sequence, 10.0, zoo_codec.model_id16, 8, 20)
        symbols = zoo_codec.encode(images.images[20 * sequence :][:20], header.snr_db, 8)
        pieces += [modulate(WF, header, symbols), np.zeros(800, np.complex64)]
    pieces += [modulate(WF, Header("feedback", 1, 9, 3.0, acked_sequence=8)), np.zeros(800, np.complex64)]
    samples = np.concatenate(pieces)
    noise = np.random.default_rng(1).standard_normal((len(samples), 2)).astype(np.float32).view(np.complex64)[:, 0]
    samples = 0.1 * (samples + 0.1 * noise)
    return (np.rint(samples.view(np.float32) * 2048) / 2048).astype(np.float32).view(np.complex64)


class Radio:
    """Gives samples in pieces; comes back after `away` samples; fails at the end if `failed`."""

    def __init__(self, samples, away=None, failed=None):
        self._samples, self._away, self._at_end = samples, away, failed
        self._position, self._pause = 0, 0
        self.ended, self.failed = False, None
        self.counters = SimpleNamespace(reconnects=0, overflows=2, dropped=0)

    def receive(self, count):
        if self._position == self._away and self._pause < 3:
            self._pause += 1
            self.counters.reconnects = int(self._pause == 3)
            return np.zeros(0, np.complex64)
        limit = self._away if self._away and self._position < self._away else len(self._samples)
        part = self._samples[self._position : min(self._position + min(count, 777), limit)]
        self._position += len(part)
        if not len(part):
            self.ended, self.failed = self._at_end is None, self._at_end
        return part


def recorded(path, radio, codec, count=None, **arguments):
    with LiveRecording(path, 1e6, {"waveform": WF.model_dump()}, datatype="ci16_le") as recording:
        finder = FrameFinder(recording, WF, 1e6, Decoder("zoo", codec))
        record_radio(radio, recording, count, {"frequency": 2.4e9, "own": {"gain_db": 30.0}}, **arguments)
        finder.finish()
        assert finder.position == recording.sample_count
    return Recording(path)


def test_what_was_found_while_recording_is_what_a_replay_finds(tmp_path, air, zoo_codec):
    told = []
    with recorded(tmp_path / "a.sigmf-meta", Radio(air), zoo_codec, on_progress=told.append) as recording:
        assert np.array_equal(np.concatenate(list(recording.chunks())), air)  # int16 holds 12 bits
        assert recording.own["overflows"] == 2
        (capture,) = recording.metadata["captures"]
        assert capture["core:frequency"] == 2.4e9 and capture["gr_semantic:gain_db"] == 30.0
        result = replay(recording, WF, 1e6, Decoder("zoo", zoo_codec))
    assert (result.found, result.identical, result.run_frames, result.false) == (4, 4, 4, 0)
    assert told[-1] == len(air) and len(told) > 10


def test_frames_that_int16_has_rounded_or_clipped_are_the_replays_too(tmp_path, air, zoo_codec):
    with recorded(tmp_path / "a.sigmf-meta", Radio(air * np.float32(4.321)), zoo_codec) as recording:
        result = replay(recording, WF, 1e6, Decoder("zoo", zoo_codec))
        assert recording.own["clipped_samples"] > 0
    assert (result.found, result.identical) == (4, 4)


def test_a_radio_that_was_away_leaves_a_gap(tmp_path, air, zoo_codec):
    away = 800 + 1700  # within the first frame
    with recorded(tmp_path / "a.sigmf-meta", Radio(air, away), zoo_codec) as recording:
        assert [(s.first, s.gap) for s in recording.segments] == [(0, False), (away, True)]
        result = replay(recording, WF, 1e6, Decoder("zoo", zoo_codec))
    assert [row["sequence"] for row in result.frames] == [1, 2, 9]  # and not what is glued together
    assert (result.identical, result.run_frames, result.gaps) == (3, 3, 1)


@pytest.mark.parametrize("way", ["count", "failed", "stopped"])
def test_every_end_keeps_what_came(tmp_path, air, zoo_codec, way):
    radio, count, calls = Radio(air[:5000], failed="unplugged" if way == "failed" else None), None, []

    def stopped():
        calls.append(1)
        return way == "stopped" and len(calls) > 4

    count = 3000 if way == "count" else None
    with recorded(tmp_path / "a.sigmf-meta", radio, zoo_codec, count, stopped=stopped) as recording:
        assert recording.sample_count == {"count": 3000, "failed": 5000, "stopped": 4 * 777}[way]
        assert np.array_equal(np.concatenate(list(recording.chunks())), air[: recording.sample_count])


def test_through_the_radios_own_keeper(tmp_path, air, zoo_codec):
    from gr_semantic.radio import RadioConfig, RadioKeeper

    with RecordingWriter(tmp_path / "air.sigmf-meta") as writer:
        writer.write(air)
        writer.finish(1e6, {}, [])
    keeper = RadioKeeper("receiver", RadioConfig(kind="file", recording=str(tmp_path / "air.sigmf-meta"))).open()
    try:
        with recorded(tmp_path / "a.sigmf-meta", keeper, zoo_codec) as recording:
            assert np.array_equal(np.concatenate(list(recording.chunks())), air)
            assert replay(recording, waveform_of(recording), 1e6, Decoder("zoo", zoo_codec)).identical == 4
    finally:
        keeper.close()


@pytest.mark.parametrize(
    "arguments, message",
    [
        ([], "give the radio with --uri"),
        (["--uri", "ip:127.0.0.1"], "its carrier with --lo-hz"),
        (["--uri", "nowhere", "--lo-hz", "2.4e9"], "'nowhere' is no address"),
        (["--uri", "ip:127.0.0.1", "--lo-hz", "1"], "rx_lo_hz is 1"),
        (["--uri", "ip:127.0.0.1", "--lo-hz", "2.4e9", "--seconds", "nan"], "--seconds is nan"),
        (["--uri", "ip:127.0.0.1", "--lo-hz", "2.4e9", "--sample-rate", "1"], "sample_rate_hz is 1"),
        (["--uri", "ip:127.0.0.1:1", "--lo-hz", "2.4e9"], "ip:127.0.0.1:1"),
    ],
)
def test_mistakes_of_the_command(tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    result = CliRunner(mix_stderr=False).invoke(main, ["record", "radio", "-o", "a.sigmf-meta", *arguments])
    assert result.exit_code == 2 and message in result.stderr and result.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_help_teaches():
    runner = CliRunner()
    for command in (["record"], ["record", "loop"], ["record", "radio"], ["replay"]):
        text = runner.invoke(main, [*command, "--help"]).output
        assert "Example" in text or command == ["record"]
