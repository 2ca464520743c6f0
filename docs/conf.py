"""Sphinx configuration: Markdown pages, warnings are errors."""

project = "dicom-router"
copyright = "2026, the dicom-router authors"  # noqa: A001 - Sphinx's own name
extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
html_theme = "furo"
html_title = "dicom-router"
exclude_patterns = ["_build"]
myst_heading_anchors = 3
