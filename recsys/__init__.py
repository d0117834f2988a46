"""Product recommendations for shops that run Express and MySQL: trained offline with TensorFlow, served without it."""

__version__ = "0.1.0"
