"""The networks: tensors in, tensors out.

A layer, a channel, a feature map or an activation lives here; millimeters, files and scanner units do not.
"""
