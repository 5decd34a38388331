"""Sparse convolutions: integer coordinates and features in, features out, behind one engine interface."""
