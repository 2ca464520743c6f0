"""What needs a container engine: ``make compose-test``."""
