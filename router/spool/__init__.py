"""Where instance bytes live between acknowledgement and settlement."""
