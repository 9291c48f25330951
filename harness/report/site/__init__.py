"""The published site: the documentation page sentence by sentence with the status of each, and a page a run.

Pure functions of judged run directories, the claims registry and the page: the same data give the same bytes.
"""
