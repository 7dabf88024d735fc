"""Activation patterns: masks, sampling and enumeration."""
