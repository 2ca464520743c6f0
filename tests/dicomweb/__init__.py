"""STOW-RS into a real router process, from real clients."""
