"""The HTTP side: knows the port, never an adapter."""
