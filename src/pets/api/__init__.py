"""The HTTP API, and the formats of pets. It knows the port, but no adapter."""
