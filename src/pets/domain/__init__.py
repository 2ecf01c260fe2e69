"""Pets, queries for pets, and the port to a store. It imports only the standard library."""
