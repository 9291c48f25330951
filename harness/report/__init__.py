"""Findings → pages: terminal, HTML, Markdown, JUnit; comparison of runs. Pure functions of run directories."""
