"""The command `density` and the pytest plugin: parse, call one room, print, exit code. No logic of its own."""
