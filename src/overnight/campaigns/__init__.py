"""Campaigns: training samples that are generated, checked, and counted only when they were accepted."""
