"""Everything that can rank a catalogue, in NumPy."""
