"""Ids of requests, the log, metrics and traces. It knows the port, but no framework or store."""
