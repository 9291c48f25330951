"""What guests run: the memory agent (C), its image builder and load profiles. Ships as data and as code."""
