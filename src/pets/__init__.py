"""Pets: a REST service for dogs and cats."""

__version__ = "1.3.0"
