"""The write side of what users do: recording, and the tables that follow from it."""
