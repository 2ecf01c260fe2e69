"""Stores of pets: each file implements the port with the technology that it is named after."""
