"""Storage commitment, both ways: answers modalities, asks candidates."""
