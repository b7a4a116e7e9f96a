"""Support for the classes of ArSSR.py that needs Slicer; its rooms are loaded on demand."""
