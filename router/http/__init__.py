"""HTTP as every server here speaks it: problems in words, tokens, starting and stopping."""
