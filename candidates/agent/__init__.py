"""An agent that registers a writer which cannot register itself: one file to copy."""
