"""Tests of life.lago.streams."""
