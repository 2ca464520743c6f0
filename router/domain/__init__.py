"""Pure values and rules of routing: no I/O, no clock, no framework."""
