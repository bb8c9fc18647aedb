"""What goes wrong: Byzantine attacks."""
