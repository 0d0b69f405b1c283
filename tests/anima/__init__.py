"""Tests of life.anima."""
