"""Tests of life.lago.api."""
