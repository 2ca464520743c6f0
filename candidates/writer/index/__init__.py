"""The index: a database of what is in the storage area."""
