"""Query and retrieve: C-FIND, C-MOVE and C-GET of the Study Root model (PS3.4 annex C)."""
