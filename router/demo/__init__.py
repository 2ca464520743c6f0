"""The demonstration: a router, three writers and some modalities, on this machine."""
