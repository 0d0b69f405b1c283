"""Tests of what life.testing ships."""
