"""Rounded certificates against exact arithmetic."""
