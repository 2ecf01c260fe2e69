"""Pets: a REST service for dogs and cats."""
