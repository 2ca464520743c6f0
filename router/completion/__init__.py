"""Decides when a revision of a study is complete."""
