"""Watched folders: files that appear in a folder come in as if they had been sent."""
