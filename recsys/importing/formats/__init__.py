"""Shop systems' exports and public data sets by name: what their columns, clocks, ratings and refunds mean."""
