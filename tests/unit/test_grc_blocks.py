# SPDX-License-Identifier: GPL-3.0-or-later
"""Every block file loads in GNU Radio Companion's own platform, and what it generates makes a block."""

import os
import re
import sys
from pathlib import Path

import pytest
import yaml
from gnuradio import gr
from gnuradio.grc.core.platform import Platform

import gr_semantic.blocks
from gr_semantic.paths import GRC_BLOCKS, ROOT
from semantic_models.testing import tiny_codec

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
IDS = sorted(path.name.removesuffix(".block.yml") for path in GRC_BLOCKS.glob("*.block.yml"))
CAPTURE = ROOT / "tests" / "captures" / "clean.sigmf-meta"
# Variables that the defaults refer to, as they stand in a flowgraph.
VARIABLES = {"samp_rate": "1e6", "slot_len": "20480"}


@pytest.fixture(scope="module")
def platform():
    platform = Platform(
        version=gr.version(),
        version_parts=(gr.major_version(), gr.api_version(), gr.minor_version()),
        prefs=gr.prefs(),
    )
    platform.build_library([*platform.config.block_paths, str(GRC_BLOCKS)])
    return platform


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return tiny_codec(tmp_path_factory.mktemp("codec"))


@pytest.fixture(scope="module")
def application():
    from PyQt5.QtWidgets import QApplication

    return QApplication.instance() or QApplication(sys.argv[:1])


def place(platform, block_id, **parameters):
    """A block in a new flowgraph with the variables above."""
    flow_graph = platform.make_flow_graph()
    for name, value in VARIABLES.items():
        variable = flow_graph.new_block("variable")
        variable.params["id"].set_value(name)
        variable.params["value"].set_value(value)
    block = flow_graph.new_block(block_id)
    block.params["id"].set_value("block")
    for name, value in parameters.items():
        block.params[name].set_value(value)
    flow_graph.rewrite()
    flow_graph.validate()
    return block


def small(platform, block_id, tiny):
    """Parameters that make a block quickly: of what is in the repository, and small."""
    given = {"semantic_image_source": {"images": "synthetic:16"}, "semantic_sigmf_source": {"path": str(CAPTURE)}}
    has = {parameter["id"] for parameter in platform.blocks[block_id].parameters_data}
    return given.get(block_id) or ({"codec": str(tiny)} if "codec" in has else {})


def mistakes(block):
    """What Companion complains about, other than that nothing is connected."""
    return [text for _, text in block.iter_error_messages() if "not connected" not in text]


def test_there_is_a_file_for_every_block_and_only_for_blocks():
    folder = Path(gr_semantic.blocks.__file__).parent
    names = {path.stem for path in folder.glob("*.py") if re.search(r"gr\.\w+_block\):", path.read_text())}
    assert {f"semantic_{name.removeprefix('semantic_')}" for name in names} == set(IDS)


@pytest.mark.parametrize("block_id", IDS)
def test_file_says_what_a_user_needs(block_id):
    fields = yaml.safe_load((GRC_BLOCKS / f"{block_id}.block.yml").read_text())
    assert fields["id"] == block_id and fields["category"] == "[Semantic Communication]"
    documentation = fields["documentation"]
    for heading in ("Output:", "Parameters:", *(["Input:"] if fields.get("inputs") else [])):
        assert heading in documentation
    for port in (*fields.get("inputs", ()), *fields.get("outputs", ())):
        assert port["domain"] == "stream" or port.get("hide") == "${ True }" or f"{port['id']}:" in documentation
    words = documentation.lower()
    for parameter in fields["parameters"]:
        label = re.sub(r" \(.*\)", "", parameter["label"]).lower()
        assert label in words, f"{block_id} does not document '{label}'"


@pytest.mark.parametrize("block_id", IDS)
def test_defaults_are_valid_and_make_a_block(platform, application, tiny, block_id):
    block = place(platform, block_id, **small(platform, block_id, tiny))
    assert mistakes(block) == []
    made = make(block)
    assert made.alias()  # only a GNU Radio block has one
    for callback in block.get_callbacks():
        exec(callback.replace(f"self.{block.name}.", "made."), {"made": made, **namespace(block)})


def namespace(block):
    variables = {name: eval(value) for name, value in VARIABLES.items()}
    exec(block.templates.render("imports"), variables)
    return variables


def make(block):
    """The block that its make template's first statement gives (the rest places a widget in a window)."""
    code = block.templates.render("make").strip()
    end = code.find("\n        self.")
    return eval(code.split("\nself.")[0] if end < 0 else code[:end], namespace(block))


WRONG = [
    ("semantic_image_source", {"images_per_frame": "0"}),
    ("semantic_encoder", {"link_id": "256"}),
    ("semantic_decoder", {"link_id": "-2"}),
    ("semantic_ofdm_transmitter", {"slot_len": "-1"}),
    ("semantic_ofdm_receiver", {"sample_rate_hz": "0"}),
    ("semantic_feedback_transmitter", {"link_id": "-1"}),
    ("semantic_feedback_receiver", {"max_age_slots": "0"}),
    ("semantic_rate_controller", {"smoothing": "1.5"}),
    ("semantic_result_sink", {"slot_s": "0"}),
    ("semantic_display", {"slot_s": "-1"}),
    ("semantic_channel_simulator", {"sample_rate_hz": "0"}),
    ("semantic_sigmf_recorder", {"path": "recording.wav"}),
    ("semantic_sigmf_source", {"path": "recording.wav"}),
    ("semantic_symbol_channel", {"snr_db": "101"}),
    ("semantic_radio_source", {"gain_db": "90"}),
    ("semantic_radio_sink", {"attenuation_db": "10"}),
]


@pytest.mark.parametrize("block_id, parameters", WRONG)
def test_asserts_catch_wrong_parameters(platform, block_id, parameters):
    assert mistakes(place(platform, block_id)) == []
    assert mistakes(place(platform, block_id, **parameters)) != []


def test_every_block_has_a_wrong_parameter_here():
    assert sorted(block_id for block_id, _ in WRONG) == IDS


def test_ports_are_those_of_the_python_blocks(platform, application, tiny):
    for block_id in IDS:
        block = place(platform, block_id, **small(platform, block_id, tiny))
        made = make(block)
        for ports, registered in (
            (block.sinks, made.message_ports_in()),
            (block.sources, made.message_ports_out()),
        ):
            names = {str(name) for name in pmt_strings(registered)} - {"system"}
            assert {port.key for port in ports if port.domain == "message"} == names, block_id


def pmt_strings(vector):
    import pmt

    return [pmt.symbol_to_string(pmt.vector_ref(vector, place)) for place in range(pmt.length(vector))]
