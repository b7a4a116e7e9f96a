"""What the classes of ArSSR.py need and only Slicer can do; nothing is loaded until one of its rooms is."""
