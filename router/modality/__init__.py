"""Plays a modality: sends files as they are."""
