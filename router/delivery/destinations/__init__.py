"""How candidates are reached: one class for each kind, all behind ``ports.Destination``."""
