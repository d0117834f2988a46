"""One module a database; each is imported only when a URL asks for it."""
