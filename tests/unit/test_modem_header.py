# SPDX-License-Identifier: GPL-3.0-or-later
"""Header: fields, CRC, code."""

import numpy as np
import pytest

from gr_semantic.errors import UserError
from gr_semantic.modem import Header, crc, fec
from gr_semantic.modem.header import decode_headers

DATA = Header(
    "data",
    link_id=3,
    sequence=513,
    snr_db=-3.5,
    model_id16=0xBEEF,
    budget=16,
    image_count=12,
)
FEEDBACK = Header(
    "feedback",
    link_id=255,
    sequence=65535,
    snr_db=-16,
    acked_sequence=65534,
    received=255,
    lost=1,
)


def test_bits_of_the_worked_example():
    """The example of docs/waveform.md: a second implementer starts here."""
    bits = DATA.to_bits()
    info = "".join(map(str, bits[:72]))
    assert f"{int(info, 2):018x}" == "10030201beef0f0b32"
    assert f"{int(''.join(map(str, bits[72:])), 2):06x}" == "1939ba"
    coded = "".join(map(str, fec.encode(DATA.to_bits())))
    assert f"{int(coded, 2):x}" == "b739f19c003c87d7fbf8ce07933d9f8091ce9228dd722902b79f8684b708d35f44dcbc40"


def test_crc_of_the_standard_check_string():
    """CRC-24 of the ASCII string 123456789 as catalogued for OpenPGP."""
    bits = np.unpackbits(np.frombuffer(b"123456789", dtype=np.uint8))
    assert int("".join(map(str, crc.crc24(bits))), 2) == 0x21CF02


@pytest.mark.parametrize(
    "header",
    [DATA, FEEDBACK, Header("data", budget=256, image_count=256, snr_db=47.75)],
)
def test_round_trip(header):
    assert Header.from_bits(header.to_bits()) == header
    assert decode_headers(1.0 - 2.0 * fec.encode(header.to_bits()[None]))[0] == [header]


@pytest.mark.parametrize("sent, read", [(-3.6, -3.5), (-99.0, -16.0), (99.0, 47.75), (0.1, 0.0)])
def test_snr_is_what_the_other_end_reads(sent, read):
    assert Header("feedback", snr_db=sent).snr_db == read


@pytest.mark.parametrize("kind, field, value", [
    ("data", "sequence", 65536), ("data", "budget", 0), ("data", "budget", 257), ("data", "image_count", 0),
    ("data", "link_id", -1), ("feedback", "lost", 256), ("data", "snr_db", float("nan")),
])  # fmt: skip
def test_out_of_range_fields_are_named(kind, field, value):
    with pytest.raises(UserError, match=field):
        Header(kind, **{field: value})


def test_unknown_kind():
    with pytest.raises(UserError, match="nonsense"):
        Header("nonsense")


def test_every_single_bit_error_is_caught():
    bits = DATA.to_bits()
    for i in range(len(bits)):
        bits[i] ^= 1
        assert Header.from_bits(bits) is None
        bits[i] ^= 1


def test_silence_is_no_header():
    assert decode_headers(np.zeros((1, 288)))[0] == [None]
    assert Header.from_bits(np.zeros(96, np.uint8)) is None


def test_other_version_is_refused():
    bits = DATA.to_bits()
    bits[:4] = [0, 0, 1, 0]
    bits[72:] = crc.crc24(bits[:72])
    assert Header.from_bits(bits) is None


def test_code_corrects_what_its_distance_promises():
    """Free distance 15: any 7 wrong bits in a row of 288 are corrected."""
    rng = np.random.default_rng(1)
    for _ in range(20):
        bits = rng.integers(0, 2, 96, dtype=np.uint8)
        soft = 1.0 - 2.0 * fec.encode(bits)
        soft[(rng.integers(288) + np.arange(7)) % 288] *= -1
        assert np.array_equal(fec.viterbi(soft), bits)


def test_code_gain():
    """At Eb/N0 = 3 dB the block error rate of the ideal decoder is near 1e-3; 1 % would be a broken one."""
    rng = np.random.default_rng(2)
    sigma = np.sqrt(1.5 / 10**0.3)
    wrong = 0
    for _ in range(400):
        bits = rng.integers(0, 2, 96, dtype=np.uint8)
        soft = 1.0 - 2.0 * fec.encode(bits) + sigma * rng.standard_normal(288)
        wrong += not np.array_equal(fec.viterbi(soft), bits)
    assert wrong <= 4


def test_noise_is_no_header():
    rng = np.random.default_rng(3)
    assert decode_headers(rng.standard_normal((300, 288)))[0] == [None] * 300
