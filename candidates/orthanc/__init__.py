"""Orthanc registers itself: a script for its Python plugin."""
