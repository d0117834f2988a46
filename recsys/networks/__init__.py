"""The four networks in Keras, for training only. What serves never imports this package."""
