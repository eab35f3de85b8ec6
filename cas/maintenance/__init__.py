"""Upkeep: functions that take a repository and look after what it holds."""
