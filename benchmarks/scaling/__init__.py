"""What benchmarks/scale.py is made of: a catalogue that might have been learned, and the timing of requests to it."""
