"""Tests of the Machine Payments Protocol."""
