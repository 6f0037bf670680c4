"""Kubernetes: API objects to domain values, domain intents to calls, answers to our error tree."""
