"""The tables that shop systems publish, read from their packages or from their source."""
