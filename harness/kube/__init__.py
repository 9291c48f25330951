"""The only room that speaks to a Kubernetes API: connection, list+watch, console websocket, stats, configz.

Imports nothing of ours. Bytes are split and decoded here, and leave as plain objects.
"""
