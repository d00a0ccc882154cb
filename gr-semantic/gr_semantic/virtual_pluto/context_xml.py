# SPDX-License-Identifier: GPL-3.0-or-later
"""The context as XML, in the words of libiio 0.x's document type."""

from xml.sax.saxutils import quoteattr

from gr_semantic.virtual_pluto.attributes import Channel, Device

VERSION = (0, 24, "v0.24")

# element: (content, required attributes, optional attributes)
_ELEMENTS = {
    "context": (
        "(device | context-attribute)*",
        ("name",),
        ("version-major", "version-minor", "version-git", "description"),
    ),
    "context-attribute": ("EMPTY", ("name", "value"), ()),
    "device": ("(channel | attribute | debug-attribute | buffer-attribute)*", ("id",), ("name", "label")),
    "channel": ("(scan-element?, attribute*)", ("id", "type"), ("name",)),
    "attribute": ("EMPTY", ("name",), ("filename",)),
    "scan-element": ("EMPTY", ("index", "format"), ("scale",)),
    "debug-attribute": ("EMPTY", ("name",), ()),
    "buffer-attribute": ("EMPTY", ("name",), ()),
}


def context_xml(devices: list[Device], attributes: dict[str, str], description: str) -> str:
    """The whole document on one line, as iiod sends it."""
    major, minor, git = VERSION
    head = _start(
        "context", name="local", version_major=major, version_minor=minor, version_git=git, description=description
    )
    facts = [_empty("context-attribute", name=name, value=value) for name, value in attributes.items()]
    body = [_device(device) for device in devices]
    return f'<?xml version="1.0" encoding="utf-8"?>{_document_type()}{head}{"".join(facts + body)}</context>'


def _document_type() -> str:
    lines = []
    for name, (content, required, optional) in _ELEMENTS.items():
        lines.append(f"<!ELEMENT {name} {content}>")
        kinds = [(item, "#REQUIRED") for item in required] + [(item, "#IMPLIED") for item in optional]
        lines.append(f"<!ATTLIST {name} {' '.join(f'{item} CDATA {kind}' for item, kind in kinds)}>")
    return f"<!DOCTYPE context [{''.join(lines)}]>"


def _start(element: str, **values) -> str:
    return f"<{element} " + " ".join(f"{k.replace('_', '-')}={quoteattr(str(v))}" for k, v in values.items()) + ">"


def _empty(element: str, **values) -> str:
    return _start(element, **values)[:-1] + " />"


def _device(device: Device) -> str:
    parts = [_start("device", id=device.id, name=device.name)]
    parts += [_channel(channel) for channel in device.channels]
    parts += [_empty("attribute", name=name) for name in device.attributes]
    parts += [_empty("buffer-attribute", name=name) for name in device.buffer_attributes]
    parts += [_empty("debug-attribute", name=name) for name in device.debug_attributes]
    return "".join([*parts, "</device>"])


def _channel(channel: Channel) -> str:
    name = {"name": channel.name} if channel.name else {}
    parts = [_start("channel", id=channel.id, **name, type=channel.direction)]
    if channel.scan:
        index, sample_format = channel.scan
        parts.append(_empty("scan-element", index=index, format=sample_format))
    parts += [_empty("attribute", name=item, filename=channel.file_name(item)) for item in channel.attributes]
    return "".join([*parts, "</channel>"])
