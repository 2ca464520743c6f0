"""Writers and helpers that register themselves with a router."""
