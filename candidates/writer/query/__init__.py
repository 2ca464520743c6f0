"""Query and retrieve: C-FIND and C-MOVE of the Study Root model (PS3.4 annex C)."""
