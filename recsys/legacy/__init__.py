"""Files of earlier systems: the encoder pickles."""
