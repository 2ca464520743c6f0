"""Sends each revision to each of its candidates through an independent queue."""
