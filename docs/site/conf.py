# SPDX-License-Identifier: GPL-3.0-or-later
"""Sphinx settings; build.py puts the pages in place and runs Sphinx with them."""

project = "gr-semantic"
author = "gr-semantic"
extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
root_doc = "index"
nitpicky = True
myst_heading_anchors = 4  # links to headings, as on GitHub
myst_enable_extensions = ["colon_fence"]
html_theme = "furo"
html_title = "gr-semantic"
html_show_copyright = False
html_copy_source = False
html_show_sourcelink = False
