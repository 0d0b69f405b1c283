"""Tests of life.lago.access_rules."""
