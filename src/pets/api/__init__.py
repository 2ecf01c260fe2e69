"""HTTP: what clients send and get. It knows the port, and no adapter."""
