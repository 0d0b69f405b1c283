"""Tests of life.lago.owners."""
