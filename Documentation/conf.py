# SPDX-License-Identifier: GPL-2.0
"""Sphinx configuration of Documentation/; `make docs` runs it."""

import sys
from pathlib import Path

here = Path(__file__).resolve().parent
# This folder may be read-only; if it is not, keep it clean.
sys.dont_write_bytecode = True
sys.path.insert(0, str(here / "sphinx"))

project = "xfd"
author = "the xfd authors"
copyright = author
release = version = (here.parent / "VERSION").read_text().strip()

extensions = ["automarkup", "sphinx.ext.graphviz"]
graphviz_output_format = "svg"
# Two hyphens start an option: do not turn them into a dash.
smartquotes = False
# Examples are a mix of shell, C and logs.
highlight_language = "none"

html_theme = "alabaster"
html_theme_options = {"page_width": "auto", "body_max_width": "70em", "sidebar_width": "18em"}
html_sidebars = {"**": ["searchbox.html", "globaltoc.html"]}
html_copy_source = False
