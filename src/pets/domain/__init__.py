"""Pets, queries for pets, and the port to a store. It imports the standard library alone."""
