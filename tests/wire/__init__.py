"""Conversations in bytes that any Storage SCP can be measured with: ``python -m tests.wire``."""
