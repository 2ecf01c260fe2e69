"""Pets in PostgreSQL or SQLite, by SQLAlchemy."""
