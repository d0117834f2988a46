"""What is solved in one go: EASE, item-item CF, ALS factors, transitions."""
