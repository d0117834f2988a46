"""What older systems left behind."""
