"""Pipelines: schedules, versioned weights, boundary codecs, and the loop of a stage."""
