"""Tests of mmrefine; ``helpers`` holds what several folders share."""
