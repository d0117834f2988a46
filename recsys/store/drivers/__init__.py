"""One module for each database, imported only when a URL names its scheme."""
