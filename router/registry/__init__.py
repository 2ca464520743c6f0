"""Candidates: registration, leases and what the routing YAML says of them."""
