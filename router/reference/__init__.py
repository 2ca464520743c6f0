"""The reference pages, made from what describes the same to programs: ``make reference``."""
